package redis

import (
	"context"
	"slices"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/transport"
)

// earlyTrim is how many settled entries, or bytes of them, make the housekeeper trim a stream before its turn.
const (
	earlyTrimEntries = 4096
	earlyTrimBytes   = 8 << 20
)

// ackQueue gathers acks for the next pipeline. An ack is sent after its reply was accepted, never with it: a pipeline of
// both would ack a request whose reply was refused.
type ackQueue struct {
	mu       sync.Mutex
	ids      map[*consumerStream][]string
	inflight []ackBatch
	spare    [][]string        // slices of ids that were sent
	trims    map[string]string // lane keys, and the id below which to trim
}

// maxSpare bounds the slices that are kept: one for each stream that is acked at the same time, usually.
const maxSpare = 16

type ackBatch struct {
	cs  *consumerStream
	ids []string
	cmd *goredis.IntCmd
}

// add queues an ack. Called with the lock.
func (q *ackQueue) add(cs *consumerStream, id string) {
	ids, ok := q.ids[cs]
	if n := len(q.spare); !ok && n > 0 {
		ids, q.spare = q.spare[n-1], q.spare[:n-1]
	}
	q.ids[cs] = append(ids, id)
}

// ack queues the acks of items whose reply, if any, was accepted.
func (d *Driver) ack(items []transport.Settlement, errs []error) {
	acked, trim := false, false
	d.acks.mu.Lock()
	for i := range items {
		s := &items[i]
		if errs[i] != nil || s.Verb != transport.Ack {
			continue
		}
		tok := s.Delivery.Token.(*token)
		d.acks.add(tok.cs, s.Delivery.ID)
		st := tok.cs.st
		n, b := st.settled.Add(1), st.settledBytes.Add(int64(tok.bytes))
		acked, trim = true, trim || n%earlyTrimEntries == 0 || b > earlyTrimBytes
	}
	d.acks.mu.Unlock()
	if acked {
		d.cmd.soon()
	}
	if trim {
		signal(d.house)
	}
}

// extra is called by the commander for each pipeline.
func (d *Driver) extra(dst []goredis.Cmder) []goredis.Cmder {
	q := &d.acks
	q.mu.Lock()
	defer q.mu.Unlock()
	for cs, ids := range q.ids {
		b := ackBatch{cs, ids, xack(cs.st.key, cs.c.group, ids)}
		q.inflight = append(q.inflight, b)
		dst = append(dst, b.cmd)
		delete(q.ids, cs)
	}
	for key, id := range q.trims {
		dst = append(dst, goredis.NewIntCmd(context.Background(), "xtrim", key, "minid", id))
		delete(q.trims, key)
	}
	return dst
}

// extraSent keeps the acks of a pipeline that broke: acking twice is harmless.
func (d *Driver) extraSent(err error) {
	q := &d.acks
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, b := range q.inflight {
		e := b.cmd.Err()
		if err != nil || e != nil && codeOf(e) == transport.CodeUnavailable {
			for _, id := range b.ids {
				q.add(b.cs, id)
			}
			continue // the client's command may still point into b.ids
		}
		if len(q.spare) < maxSpare {
			clear(b.ids)
			q.spare = append(q.spare, b.ids[:0])
		}
	}
	clear(q.inflight)
	q.inflight = q.inflight[:0]
}

// Settle publishes the replies in one pipeline with all other commands that wait, and queues the acks of those accepted.
func (c *consumer) Settle(ctx context.Context, items []transport.Settlement, errs []error) {
	d := c.d
	clear(errs)
	err := d.check("settle")
	if c.closed.Load() {
		err = failMsg(transport.CodeClosed, "settle", "", "the consumer is closed")
	}
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
		return
	}
	c.claimSelf(ctx, items, errs)
	c.reply(ctx, items, errs)
	d.ack(items, errs)
}

// reply publishes the replies of what is to be acked, one that neighbours share once, and gives each its reply's error.
func (c *consumer) reply(ctx context.Context, items []transport.Settlement, errs []error) {
	var b *batch
	var last *transport.Message
	for i := range items {
		if !replies(&items[i], errs[i]) || items[i].Reply == last {
			continue
		}
		if b == nil {
			b = c.d.newBatch("settle", len(items))
			b.replies = slices.Grow(b.replies[:0], len(items))[:len(items)]
			clear(b.replies)
		}
		last = items[i].Reply
		b.add(ctx, last, &b.replies[i])
	}
	if b == nil {
		return
	}
	b.send(ctx)
	var err error
	last = nil
	for i := range items {
		if !replies(&items[i], errs[i]) {
			continue
		}
		if items[i].Reply != last {
			last, err = items[i].Reply, b.replies[i].Err
		}
		errs[i] = err
	}
	b.free()
}

// replies reports whether s has something to publish before its ack; err is why it is refused already.
func replies(s *transport.Settlement, err error) bool {
	return err == nil && s.Verb == transport.Ack && s.Reply != nil
}

// claimSelf does what must look at the owner first: extensions, releases, and acks that come after the lease's end (they
// renew it, so that the request can't go elsewhere between the look and the reply). One script call for each stream and
// idle time.
func (c *consumer) claimSelf(ctx context.Context, items []transport.Settlement, errs []error) {
	type group struct {
		cs   *consumerStream
		idle int64
	}
	var groups map[group][]int
	now := mono()
	for i := range items {
		s := &items[i]
		tok, ok := s.Delivery.Token.(*token)
		if !ok || tok.cs.c != c {
			errs[i] = failMsg(transport.CodeInvalid, "settle", s.Delivery.Stream, "the delivery was not received by this consumer")
			continue
		}
		var idle time.Duration
		switch s.Verb {
		case transport.Ack:
			held := time.Duration(now - tok.leased.Load())
			if held < c.lease-min(c.lease/10, 100*time.Millisecond) {
				continue
			}
		case transport.Extend:
		case transport.Release:
			if s.Delay > 0 {
				// XCLAIM can only make an entry older than it is: a delay beyond the lease isn't possible.
				errs[i] = failMsg(transport.CodeUnsupported, "settle", s.Delivery.Stream, "Redis can't release with a delay")
				continue
			}
			idle = c.lease
		default:
			errs[i] = failMsg(transport.CodeInvalid, "settle", s.Delivery.Stream, "the settlement has no verb")
			continue
		}
		if groups == nil {
			groups = map[group][]int{}
		}
		g := group{tok.cs, idle.Milliseconds()}
		groups[g] = append(groups[g], i)
	}
	if groups == nil {
		return
	}
	calls, members := make([]call, 0, len(groups)), make([][]int, 0, len(groups))
	for g, idx := range groups {
		sc := call{script: claimSelfScript, keys: []string{g.cs.st.key}, args: []any{c.group, c.name, g.idle}}
		for _, i := range idx {
			sc.args = append(sc.args, items[i].Delivery.ID)
		}
		calls, members = append(calls, sc), append(members, idx)
	}
	values, err := c.d.eval(ctx, "settle", "", calls...)
	for n, idx := range members {
		var row []any
		e := err
		if e == nil {
			e = asError(values[n])
			row, _ = values[n].([]any)
		}
		for k, i := range idx {
			switch {
			case e != nil && transport.IsCode(e, transport.CodeNotFound):
				errs[i] = failMsg(transport.CodeStale, "settle", items[i].Delivery.Stream, "the stream or group is gone, and the delivery with it")
			case e != nil:
				errs[i] = e
			case k >= len(row) || asInt(row[k]) == 0:
				errs[i] = failMsg(transport.CodeStale, "settle", items[i].Delivery.Stream, "the lease of "+items[i].Delivery.ID+" went to another consumer, or it was settled")
			default:
				items[i].Delivery.Token.(*token).leased.Store(now)
			}
		}
	}
	for i := range items {
		if items[i].Verb == transport.Release && errs[i] == nil {
			c.claimSoon()
		}
	}
}
