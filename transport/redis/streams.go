package redis

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/transport"
)

const (
	// sampleEvery is how old a stream's length may be when MaxBacklog is checked against it, and fillTime how much more for each entry
	// that it still has room for: no Redis takes more of them in that time, whoever sends them.
	sampleEvery = 200 * time.Millisecond
	fillTime    = time.Microsecond
	// maxSampleRoom bounds that: a length is at most about a second old.
	maxSampleRoom = 1_000_000
	// resampleEvery is how soon it is asked for again while the stream seems full.
	resampleEvery = 20 * time.Millisecond
	// laneCacheSize bounds the addresses whose parsing is remembered; one gateway has one.
	laneCacheSize = 4096
)

// streamState is what the driver knows of one ensured stream.
type streamState struct {
	name, key  string
	maxBacklog atomic.Int64

	// length is the stream's sampled length; published counts what was accepted here, base is its value at the sample.
	length, published, base atomic.Int64
	sampledAt               atomic.Int64 // by mono
	// settled and settledBytes count since the last trim.
	settled, settledBytes atomic.Int64
	trimmedAt             atomic.Int64

	groups map[string]bool // guarded by Driver.mu
}

// stream returns an ensured stream's state, or nil.
func (d *Driver) stream(name string) *streamState {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.streams[name]
}

// remember adds a spec and returns its state.
func (d *Driver) remember(spec transport.StreamSpec) *streamState {
	d.mu.Lock()
	defer d.mu.Unlock()
	st := d.streams[spec.Stream]
	if st == nil {
		name := strings.Clone(spec.Stream)
		st = &streamState{name: name, key: streamKey(name), groups: map[string]bool{}}
		st.maxBacklog.Store(transport.DefaultMaxBacklog)
		d.streams[name] = st
	}
	if spec.MaxBacklog > 0 {
		st.maxBacklog.Store(spec.MaxBacklog)
	}
	for _, g := range spec.Groups {
		st.groups[strings.Clone(g)] = true
	}
	return st
}

// Ensure creates what is missing, in one pipeline.
func (d *Driver) Ensure(ctx context.Context, specs []transport.StreamSpec) error {
	if err := d.check("ensure"); err != nil {
		return err
	}
	for _, s := range specs {
		for _, n := range append([]string{s.Stream}, s.Groups...) {
			if err := transport.CheckName(n); err != nil {
				return failMsg(transport.CodeInvalid, "ensure", s.Stream, nameMsg(err))
			}
		}
		if s.MaxBacklog < 0 {
			return failMsg(transport.CodeInvalid, "ensure", s.Stream, "MaxBacklog is negative; 0 means the default")
		}
	}
	states := make([]*streamState, len(specs))
	for i, s := range specs {
		states[i] = d.remember(s)
	}
	_, err := d.create(ctx, "ensure", states)
	return err
}

// ensured reports whether this driver was asked for the group.
func (d *Driver) ensured(st *streamState, group string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return st.groups[group]
}

// create makes the streams' groups where they don't exist, and returns the streams of which something was made.
func (d *Driver) create(ctx context.Context, op string, states []*streamState) (made []*streamState, err error) {
	var cmds []goredis.Cmder
	var owner []*streamState
	d.mu.RLock()
	for _, st := range states {
		for g := range st.groups {
			cmds = append(cmds, goredis.NewStatusCmd(context.Background(), "xgroup", "create", st.key, g, "0", "mkstream"))
			owner = append(owner, st)
		}
		if len(st.groups) == 0 {
			cmds = append(cmds, call{script: streamScript, keys: []string{st.key}}.command("eval", streamScript.src))
			owner = append(owner, st)
		}
	}
	d.mu.RUnlock()
	if len(cmds) == 0 {
		return nil, nil
	}
	if _, err := d.cmd.do(ctx, cmds, 0); err != nil {
		return nil, opError(op, states[0].name, err)
	}
	for i, c := range cmds {
		switch e := c.Err(); {
		case e == nil:
			if v, ok := c.(*goredis.Cmd); !ok || asInt(v.Val()) == 1 {
				made = append(made, owner[i])
			}
		case strings.HasPrefix(e.Error(), "BUSYGROUP"):
		case err == nil:
			err = fail(op, owner[i].name, e)
		}
	}
	return made, err
}

// recreate makes vanished streams and groups again, and reports it and how many.
func (d *Driver) recreate(ctx context.Context, states []*streamState) (int, error) {
	made, err := d.create(ctx, "recreate", states)
	for i, st := range made {
		if i == 0 || st != made[i-1] {
			d.event(transport.Event{Kind: transport.EventRecreated, Stream: st.name, N: 1})
			d.log.Warn("recreated", "streamerson: a stream or group had vanished from Redis and was made again", "stream", st.name)
		}
	}
	return len(made), err
}

// lane is parseLane, remembered: one gateway's address comes back with every reply.
func (d *Driver) lane(addr string) (key string, maxLen int64, ok bool) {
	d.laneMu.RLock()
	l, hit := d.lanes[addr]
	d.laneMu.RUnlock()
	if hit {
		return l.key, l.maxLen, true
	}
	if key, maxLen, ok = parseLane(addr); !ok {
		return "", 0, false
	}
	// A copy: addr may be a piece of a whole batch.
	key = strings.Clone(key)
	d.laneMu.Lock()
	if len(d.lanes) >= laneCacheSize {
		clear(d.lanes)
	}
	d.lanes[strings.Clone(addr)] = laneInfo{key, maxLen}
	d.laneMu.Unlock()
	return key, maxLen, true
}

type laneInfo struct {
	key    string
	maxLen int64
}

// full reports whether the stream holds as many unsettled requests as it may. It counts from the last sample what was
// published here, and asks the broker again before it refuses anything.
func (d *Driver) full(ctx context.Context, st *streamState) bool {
	limit := st.maxBacklog.Load()
	now := mono()
	age := time.Duration(now - st.sampledAt.Load())
	if room := limit - st.estimate(); room > 0 {
		if age > sampleEvery+min(time.Duration(room), maxSampleRoom)*fillTime && st.sampledAt.CompareAndSwap(now-int64(age), now) {
			d.sampleLater(st)
		}
		return false
	}
	if age > resampleEvery {
		// What is settled and not yet trimmed does not wait: trim first.
		_ = d.trim(ctx, st)
	}
	return st.estimate() >= limit
}

func (d *Driver) sampleLater(st *streamState) {
	cmd := goredis.NewIntCmd(context.Background(), "xlen", st.key)
	before := st.published.Load()
	d.background(func(ctx context.Context) {
		if _, err := d.cmd.do(ctx, []goredis.Cmder{cmd}, 0); err == nil && cmd.Err() == nil {
			st.sampled(cmd.Val(), before)
		}
	})
}

// sampled stores a fresh length; before is the value of published when it was asked for.
func (st *streamState) sampled(length, before int64) {
	st.base.Store(before)
	st.length.Store(length)
	st.sampledAt.Store(mono())
}

// estimate is how many entries the stream has, if nobody else published since the sample.
func (st *streamState) estimate() int64 {
	return st.length.Load() + st.published.Load() - st.base.Load()
}

// trim removes what all groups have settled and samples the lengths, of all streams in one pipeline. It returns the first error.
func (d *Driver) trim(ctx context.Context, streams ...*streamState) error {
	before, calls := make([]int64, len(streams)), make([]call, len(streams))
	for i, st := range streams {
		before[i] = st.published.Load()
		st.settled.Store(0)
		st.settledBytes.Store(0)
		st.trimmedAt.Store(mono())
		calls[i] = call{script: trimScript, keys: []string{st.key}}
	}
	values, err := d.eval(ctx, "trim", streams[0].name, calls...)
	if err != nil {
		return err
	}
	for i, st := range streams {
		if e, ok := values[i].(*transport.Error); ok && err == nil {
			named := *e
			named.Stream = st.name
			err = &named
		}
		if row, ok := values[i].([]any); ok && len(row) == 2 {
			if n := asInt(row[0]); n > 0 {
				d.event(transport.Event{Kind: transport.EventTrimmed, Stream: st.name, N: n})
			}
			st.sampled(asInt(row[1]), before[i])
		}
	}
	return err
}

// Lag asks the broker.
func (d *Driver) Lag(ctx context.Context, stream, group string) (transport.Lag, error) {
	if err := d.check("lag"); err != nil {
		return transport.Lag{}, err
	}
	for _, n := range []string{stream, group} {
		if err := transport.CheckName(n); err != nil {
			return transport.Lag{}, failMsg(transport.CodeInvalid, "lag", stream, nameMsg(err))
		}
	}
	v, err := d.eval(ctx, "lag", stream, call{script: lagScript, keys: []string{streamKey(stream), presenceKey(stream, group)}, args: []any{group}})
	if err == nil {
		err = asError(v[0])
	}
	if err != nil {
		return transport.Lag{}, err
	}
	row, ok := v[0].([]any)
	if !ok || len(row) != 5 {
		return transport.Lag{}, failMsg(transport.CodeNotFound, "lag", stream, "stream or group "+group+" does not exist")
	}
	l := transport.Lag{Waiting: asInt(row[0]), Pending: asInt(row[1]), Consumers: int(asInt(row[3]))}
	if id, _ := row[2].(string); id != "" {
		l.Oldest = time.Duration(max(1, asInt(row[4])-idTime(id))) * time.Millisecond
	}
	return l, nil
}
