package redis

import (
	"context"
	"crypto/sha1" //nolint:gosec // the digest that EVALSHA asks for
	"encoding/hex"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/transport"
)

// Scripts do in one step what has to look before it acts. Those with allow-oom only shrink things, or keep a sign of life:
// they must work while the memory is full.

// bodyLua picks an entry's body as parser.entry does.
const bodyLua = `
local function body(f)
  local v = ''
  for i = 1, #f, 2 do
    v = f[i+1]
    if f[i] == 'b' then break end
  end
  return v
end
`

// claimScript takes over what has been idle for its owner's lease. KEYS: streams. ARGV: group, consumer, our lease in ms,
// most in all, most beyond the keys' own slots, then for each key its credit, own slots and cursor. Answers for each key {cursor, deleted, id, body, deliveries, …}, or
// the error's text in place of the cursor. Consumers may have different leases, so each has its own in its name, and
// XAUTOCLAIM, which knows only one, is no use; like it, XCLAIM drops what was deleted. Up to 1,600 pending entries are
// looked at in one call, and the cursor remembers where to go on.
var claimScript = newScript(bodyLua + `
local left, pool, out = tonumber(ARGV[4]), tonumber(ARGV[5]), {}
for i, key in ipairs(KEYS) do
  local own, cursor, got, deleted = tonumber(ARGV[4+3*i]), ARGV[5+3*i], {}, 0
  local want = math.min(tonumber(ARGV[3+3*i]), own + pool, left)
  local pages = 0
  while want > 0 and pages < 16 do
    pages = pages + 1
    local p = redis.pcall('XPENDING', key, ARGV[1], 'IDLE', 100, cursor, '+', 100)
    if p.err then cursor = p.err; break end
    for _, e in ipairs(p) do
      cursor = '(' .. e[1]
      local lease = tonumber(string.match(e[2], '@(%d+)ms$') or ARGV[3])
      if e[3] >= lease then
        local r = redis.call('XCLAIM', key, ARGV[1], ARGV[2], lease, e[1])
        if r[1] then
          got[#got+1] = e[1]; got[#got+1] = body(r[1][2]); got[#got+1] = e[4] + 1
          want = want - 1; left = left - 1
          if want == 0 then break end
        else
          deleted = deleted + 1
        end
      end
    end
    if #p < 100 and want > 0 then cursor = '-'; break end
  end
  pool = pool - math.max(0, #got/3 - own)
  local row = {cursor, deleted}
  for _, v in ipairs(got) do row[#row+1] = v end
  out[i] = row
end
return out`)

// pollScript reads exactly what there are credits for. KEYS: streams. ARGV: group, consumer, most in all, most beyond the
// keys' own slots, then for each key its credit and own slots. Answers as claimScript does, with empty cursors.
var pollScript = newScript(bodyLua + `
local left, pool, out = tonumber(ARGV[3]), tonumber(ARGV[4]), {}
for i, key in ipairs(KEYS) do
  local own = tonumber(ARGV[4+2*i])
  local want = math.min(tonumber(ARGV[3+2*i]), own + pool, left)
  local row = {'', 0}
  if want > 0 then
    local r = redis.pcall('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', want, 'STREAMS', key, '>')
    if r and r.err then
      row[1] = r.err
    elseif r then
      for _, e in ipairs(r[1][2]) do
        row[#row+1] = e[1]; row[#row+1] = body(e[2]); row[#row+1] = 1
        left = left - 1
      end
      pool = pool - math.max(0, #r[1][2] - own)
    end
  end
  out[i] = row
end
return out`)

// claimSelfScript sets the idle time of pending entries that the consumer still owns, without counting a delivery.
// KEYS: stream. ARGV: group, consumer, idle in ms, ids. Answers 1 or 0 for each id. Without the look at the owner a
// self-claim would steal back what had gone to another consumer.
var claimSelfScript = newScript(`
local out = {}
for i = 4, #ARGV do
  local p = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)
  out[i-3] = 0
  if p[1] and p[1][2] == ARGV[2] then
    out[i-3] = #redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'IDLE', ARGV[3], 'JUSTID')
  end
end
return out`)

// leaveScript makes all that a consumer holds claimable at once, and deletes the consumer only if it holds nothing:
// XGROUP DELCONSUMER drops pending entries for ever. KEYS: stream, presence. ARGV: group, consumer, lease in ms.
var leaveScript = newScript(`
redis.call('ZREM', KEYS[2], ARGV[2])
local from, n = '-', 0
while true do
  local p = redis.pcall('XPENDING', KEYS[1], ARGV[1], from, '+', 500, ARGV[2])
  if p.err or #p == 0 then break end
  for _, e in ipairs(p) do
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, e[1], 'IDLE', ARGV[3], 'JUSTID')
    n = n + 1
  end
  from = '(' .. p[#p][1]
end
local s = redis.pcall('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2])
if not s.err and #s == 0 then redis.pcall('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) end
return n`)

// presenceScript renews a consumer's sign of life. KEYS: presence sets. ARGV: consumer, time to live in ms, how long the sets are
// kept in ms if they are tidied now, else 0.
var presenceScript = newScript(`#!lua flags=allow-oom
local t = redis.call('TIME')
local now = t[1]*1000 + math.floor(t[2]/1000)
local keep = tonumber(ARGV[3])
for _, key in ipairs(KEYS) do
  redis.call('ZADD', key, now + ARGV[2], ARGV[1])
  if keep > 0 then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    redis.call('PEXPIRE', key, keep)
  end
end
return 1`)

// absenceScript takes a consumer's sign of life back. KEYS: presence set. ARGV: consumer.
var absenceScript = newScript(`return redis.call('ZREM', KEYS[1], ARGV[1])`)

// trimScript removes what every group has settled: all below the lowest id that some group has pending or has yet to
// read. A stream without groups is left alone. KEYS: stream. Answers {removed, length}.
var trimScript = newScript(`
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if groups.err or #groups == 0 then return {0, redis.call('XLEN', KEYS[1])} end
local function parts(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local lowms, lowseq, low
for _, g in ipairs(groups) do
  local f = {}
  for i = 1, #g, 2 do f[g[i]] = g[i+1] end
  local ms, seq, id
  if f['pending'] > 0 then
    id = redis.call('XPENDING', KEYS[1], f['name'])[2]
    ms, seq = parts(id)
  else
    ms, seq = parts(f['last-delivered-id'])
    seq = seq + 1
    id = string.match(f['last-delivered-id'], '^(%d+)-') .. '-' .. string.format('%.0f', seq)
  end
  if not low or ms < lowms or (ms == lowms and seq < lowseq) then low, lowms, lowseq = id, ms, seq end
end
local removed = redis.call('XTRIM', KEYS[1], 'MINID', low)
return {removed, redis.call('XLEN', KEYS[1])}`)

// reapScript deletes consumers that hold nothing and have not been seen for a time. KEYS: stream. ARGV: idle in ms.
var reapScript = newScript(`
local groups, n = redis.pcall('XINFO', 'GROUPS', KEYS[1]), 0
if groups.err then return 0 end
for _, g in ipairs(groups) do
  for _, c in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], g[2])) do
    local f = {}
    for i = 1, #c, 2 do f[c[i]] = c[i+1] end
    if f['pending'] == 0 and f['idle'] > tonumber(ARGV[1]) then
      redis.call('XGROUP', 'DELCONSUMER', KEYS[1], g[2], f['name'])
      n = n + 1
    end
  end
end
return n`)

// lagScript tells how far a group is behind. KEYS: stream, presence. ARGV: group. Answers {waiting, pending, oldest id or
// ”, live consumers, now in ms}, or 0 when there is no such group. XINFO's lag is nil after entries were deleted from the
// middle; then the entries are counted, up to 10,000 exactly.
var lagScript = newScript(`
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if groups.err then return 0 end
local t = redis.call('TIME')
local now = t[1]*1000 + math.floor(t[2]/1000)
for _, g in ipairs(groups) do
  local f = {}
  for i = 1, #g, 2 do f[g[i]] = g[i+1] end
  if f['name'] == ARGV[1] then
    local oldest = ''
    if f['pending'] > 0 then oldest = redis.call('XPENDING', KEYS[1], ARGV[1])[2] end
    local waiting = f['lag']
    if oldest == '' or not waiting then
      local first = redis.call('XRANGE', KEYS[1], '(' .. f['last-delivered-id'], '+', 'COUNT', 1)
      if first[1] and oldest == '' then oldest = first[1][1] end
      if not first[1] then waiting = 0 end
    end
    if not waiting then
      waiting = 0
      local from = f['last-delivered-id']
      while waiting < 10000 do
        local r = redis.call('XRANGE', KEYS[1], '(' .. from, '+', 'COUNT', 500)
        waiting = waiting + #r
        if #r < 500 then break end
        from = r[#r][1]
      end
      if waiting >= 10000 then waiting = math.max(waiting, redis.call('XLEN', KEYS[1]) - f['pending']) end
    end
    return {waiting, f['pending'], oldest, redis.call('ZCOUNT', KEYS[2], '(' .. string.format('%.0f', now), '+inf'), now}
  end
end
return 0`)

// liveScript counts the live consumers. KEYS: presence sets. Answers their counts, 1 for what can't be counted.
var liveScript = newScript(`
local t, out = redis.call('TIME'), {}
local now = '(' .. string.format('%.0f', t[1]*1000 + math.floor(t[2]/1000))
for i, key in ipairs(KEYS) do
  local n = redis.pcall('ZCOUNT', key, now, '+inf')
  out[i] = type(n) == 'number' and n or 1
end
return out`)

// laneScript makes sure that a lane exists and tells the id after which its new messages come. KEYS: lane. ARGV: time to
// live in ms. Answers {id, 1 if it was created}. An entry that is trimmed as it is added leaves
// an empty stream whose last id is known. Under full memory this is refused, as every XADD is.
var laneScript = newScript(`
local id, created = false, 0
if redis.call('EXISTS', KEYS[1]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #info, 2 do if info[i] == 'last-generated-id' then id = info[i+1] end end
else
  id, created = redis.call('XADD', KEYS[1], 'MAXLEN', 0, '*', 'b', ''), 1
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return {id, created}`)

// streamScript creates an empty stream without a group, if there is none. KEYS: stream. Answers 1 if it was created.
var streamScript = newScript(`
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('XLEN', KEYS[1])
  return 0
end
redis.call('XADD', KEYS[1], 'MAXLEN', 0, '*', 'b', '')
return 1`)

// script is a Lua script and its digest, by which the broker remembers it.
type script struct{ src, hash string }

func newScript(src string) *script {
	sum := sha1.Sum([]byte(src)) //nolint:gosec // the digest that EVALSHA asks for
	return &script{src: src, hash: hex.EncodeToString(sum[:])}
}

// call is one run of a script.
type call struct {
	script *script
	keys   []string
	args   []any
}

func (c call) command(name, code string) *goredis.Cmd {
	args := make([]any, 0, 3+len(c.keys)+len(c.args))
	args = append(args, name, code, len(c.keys))
	for _, k := range c.keys {
		args = append(args, k)
	}
	return goredis.NewCmd(context.Background(), append(args, c.args...)...)
}

// eval runs scripts in one pipeline. values[i] is calls[i]'s answer or its error reply; the error is a lost connection or
// ctx's. A broker that lost its scripts is sent them once more.
func (d *Driver) eval(ctx context.Context, op, stream string, calls ...call) ([]any, error) {
	cmds := make([]goredis.Cmder, len(calls))
	for i, c := range calls {
		cmds[i] = c.command("evalsha", c.script.hash)
	}
	if _, err := d.cmd.do(ctx, cmds, 0); err != nil {
		return nil, opError(op, stream, err)
	}
	var again []goredis.Cmder
	for i, c := range calls {
		if err := cmds[i].Err(); err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") {
			cmds[i] = c.command("eval", c.script.src)
			again = append(again, cmds[i])
		}
	}
	if len(again) > 0 {
		if _, err := d.cmd.do(ctx, again, 0); err != nil {
			return nil, opError(op, stream, err)
		}
	}
	values := make([]any, len(calls))
	for i := range cmds {
		v, err := cmds[i].(*goredis.Cmd).Result()
		if err != nil {
			values[i] = fail(op, stream, err)
			continue
		}
		values[i] = v
	}
	return values, nil
}

func asError(v any) error {
	if e, ok := v.(*transport.Error); ok {
		return e
	}
	return nil
}

func asInt(v any) int64 {
	n, _ := v.(int64)
	return n
}
