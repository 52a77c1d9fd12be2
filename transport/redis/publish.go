package redis

import (
	"context"
	"errors"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/transport"
)

// maxBody is the largest body. Redis itself takes 512 MB, but everything else waits behind it: 16 MiB are written, logged and
// answered well within the default timeout on a busy machine, 64 MiB were not always.
const maxBody = 16 << 20

// Publish sends all messages in pipelines of at most 4 MiB (or one message).
func (d *Driver) Publish(ctx context.Context, msgs []transport.Message, results []transport.Result) {
	b := d.newBatch("publish", len(msgs))
	for i := range msgs {
		b.add(ctx, &msgs[i], &results[i])
	}
	b.send(ctx)
	b.free()
}

// batch publishes messages and settles their results.
type batch struct {
	d    *Driver
	op   string
	adds []pending
	cmds []goredis.Cmder
	// stranger is a stream that somebody else ensured, the last one: a caller's messages mostly go to one.
	stranger, strangerKey string
	// replies is Settle's: the outcome of each settlement's reply.
	replies []transport.Result
}

type pending struct {
	add    *xadd  // nil, for a lane, until it is known what follows
	lane   string // the lane's key
	maxLen int64
	msg    *transport.Message
	result *transport.Result
	st     *streamState
}

func (d *Driver) newBatch(op string, n int) *batch {
	b, _ := d.batches.Get().(*batch)
	if b == nil {
		b = &batch{d: d}
	}
	b.op = op
	if cap(b.adds) < n {
		b.adds, b.cmds = make([]pending, 0, n), make([]goredis.Cmder, 0, n)
	}
	return b
}

func rejected(e *transport.Error) transport.Result {
	return transport.Result{Outcome: transport.OutcomeRejected, Err: e}
}

// add checks one message; what can't be sent gets its result at once.
func (b *batch) add(ctx context.Context, m *transport.Message, r *transport.Result) {
	if len(m.Body) > maxBody {
		*r = rejected(failMsg(transport.CodeTooLarge, b.op, m.Stream, "the body has "+strconv.Itoa(len(m.Body))+" bytes; at most "+strconv.Itoa(maxBody)+" are allowed"))
		return
	}
	if m.Lane {
		key, maxLen, ok := b.d.lane(m.Stream)
		if !ok {
			*r = rejected(failMsg(transport.CodeInvalid, b.op, m.Stream, "this is not a lane's address"))
			return
		}
		b.adds = append(b.adds, pending{lane: key, maxLen: maxLen, msg: m, result: r})
		return
	}
	st := b.d.stream(m.Stream)
	if st == nil {
		if m.Stream != b.stranger || b.strangerKey == "" {
			if err := transport.CheckName(m.Stream); err != nil {
				*r = rejected(failMsg(transport.CodeInvalid, b.op, m.Stream, nameMsg(err)))
				return
			}
			b.stranger = strings.Clone(m.Stream) // it may be a piece of something large
			b.strangerKey = streamKey(b.stranger)
		}
		b.adds = append(b.adds, pending{add: newStreamAdd(b.strangerKey, m.Body), msg: m, result: r})
		return
	}
	if b.d.full(ctx, st) {
		*r = rejected(failMsg(transport.CodeFull, b.op, m.Stream, strconv.FormatInt(st.maxBacklog.Load(), 10)+" requests wait on the stream already (MaxBacklog)"))
		return
	}
	b.adds = append(b.adds, pending{add: newStreamAdd(st.key, m.Body), msg: m, result: r, st: st})
}

// send runs the pipelines one after the other: order is kept, and after a broken one the rest is not sent.
func (b *batch) send(ctx context.Context) {
	b.addLanes()
	var broken error
	for rest := b.adds; len(rest) > 0; {
		n, size := 0, 0
		for n < len(rest) && (n == 0 || size+len(rest[n].msg.Body)+entryOverhead <= maxPipeline) {
			size += len(rest[n].msg.Body) + entryOverhead
			n++
		}
		part := rest[:n]
		rest = rest[n:]
		if broken != nil {
			for _, p := range part {
				*p.result = rejected(opError(b.op, p.msg.Stream, broken))
			}
			continue
		}
		if err := b.sendPart(ctx, part, size); err != nil {
			broken = err
			if _, ok := errors.AsType[*errNotSent](err); !ok {
				broken = &errNotSent{err}
			}
		}
	}
}

// addLanes makes the commands for lanes. The cap goes with the last of a run of messages to one lane: with each it costs
// Redis a twentieth of a call.
func (b *batch) addLanes() {
	for i := range b.adds {
		switch p := &b.adds[i]; {
		case p.lane == "":
		case i+1 < len(b.adds) && b.adds[i+1].lane == p.lane:
			p.add = newStreamAdd(p.lane, p.msg.Body)
		default:
			p.add = newLaneAdd(p.lane, p.maxLen, p.msg.Body)
		}
	}
}

func (b *batch) sendPart(ctx context.Context, part []pending, size int) error {
	// A fresh slice when the last one was abandoned to the commander.
	b.cmds = b.cmds[:0]
	for i := range part {
		b.cmds = append(b.cmds, part[i].add)
	}
	abandoned, err := b.d.cmd.do(ctx, b.cmds, size)
	missing := false
	for i := range part {
		p := &part[i]
		if abandoned {
			p.add = nil
			*p.result = transport.Result{Err: fail(b.op, p.msg.Stream, err)}
			continue
		}
		*p.result = b.outcome(p, err)
		missing = missing || p.st != nil && transport.IsCode(p.result.Err, transport.CodeNotFound)
	}
	if abandoned {
		b.cmds = nil
		return err
	}
	if missing && err == nil {
		b.restore(ctx, part)
	}
	return err
}

func (b *batch) outcome(p *pending, err error) transport.Result {
	x := p.add
	if x.stored() {
		if p.st != nil {
			p.st.published.Add(1)
		}
		return transport.Result{Outcome: transport.OutcomeAccepted}
	}
	if err == nil {
		e := x.Err()
		if errors.Is(e, goredis.Nil) {
			what := "the stream does not exist; it is created by Ensure"
			if p.msg.Lane {
				what = "the lane is gone"
			}
			return rejected(failMsg(transport.CodeNotFound, b.op, p.msg.Stream, what))
		}
		return rejected(fail(b.op, p.msg.Stream, e))
	}
	if ns, ok := errors.AsType[*errNotSent](err); ok {
		return rejected(opError(b.op, p.msg.Stream, ns))
	}
	// The connection broke: error replies that had been read are overwritten by the client, so all that is known is what
	// has been stored.
	return transport.Result{Err: fail(b.op, p.msg.Stream, err)}
}

// restore makes streams again that had vanished, and sends once more what was certainly not stored.
func (b *batch) restore(ctx context.Context, part []pending) {
	var states []*streamState
	again := make([]pending, 0, len(part))
	for _, p := range part {
		if p.st != nil && transport.IsCode(p.result.Err, transport.CodeNotFound) {
			states = append(states, p.st)
			again = append(again, p)
		}
	}
	if _, err := b.d.recreate(ctx, states); err != nil {
		return
	}
	cmds := make([]goredis.Cmder, len(again))
	size := 0
	for i := range again {
		cmds[i] = again[i].add.reset()
		size += len(again[i].msg.Body) + entryOverhead
	}
	abandoned, err := b.d.cmd.do(ctx, cmds, size)
	for i := range again {
		p := &again[i]
		if abandoned {
			for j := range part { // the commander keeps the commands
				if part[j].add == p.add {
					part[j].add = nil
				}
			}
			*p.result = transport.Result{Err: fail(b.op, p.msg.Stream, err)}
			continue
		}
		*p.result = b.outcome(p, err)
	}
}

// free keeps the batch and its commands for reuse.
func (b *batch) free() {
	if b.d.set.mode != cluster {
		for _, p := range b.adds {
			if p.add != nil {
				p.add.free()
			}
		}
	}
	clear(b.adds)
	clear(b.cmds)
	clear(b.replies)
	b.adds, b.cmds = b.adds[:0], b.cmds[:0]
	b.d.batches.Put(b)
}
