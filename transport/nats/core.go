package nats

import (
	"context"
	"strconv"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/streamerson/streamerson/transport"
)

// corePrefix + NAME is where a request goes with nats+core://; queue groups take it from there.
const corePrefix = root + "c."

// coreQueue is how many requests a process holds for its free slots to come, over all streams of a consumer; what comes beyond is
// dropped and reported (EventDeleted). They wait in its memory: with core NATS there is nowhere else.
const coreQueue = 8192

// coreConsumer is a member of a queue group. The server hands it requests as they come: it can't be asked for a number.
type coreConsumer struct {
	d     *Driver
	name  string
	group string
	wake  chan struct{} // capacity 1
	done  chan struct{}

	mu      sync.Mutex
	closed  bool
	subs    map[string]*coreStream
	seq     uint64
	waiting int

	ledger transport.Ledger // used by Receive only
}

// coreStream is one stream of a coreConsumer. Guarded by its mu.
type coreStream struct {
	sub, live *natsgo.Subscription
	queue     []transport.Delivery
}

// coreToken is a delivery's token: nothing is left to settle but the reply.
type coreToken struct{ c *coreConsumer }

// coreLag: the waiting requests are in the memory of others; only the living consumers are known. A stream exists as far
// as this driver ensured it.
func (d *Driver) coreLag(ctx context.Context, stream, group string) (transport.Lag, error) {
	for _, name := range []string{stream, group} {
		if err := transport.CheckName(name); err != nil {
			return transport.Lag{}, err
		}
	}
	return transport.Lag{Waiting: -1, Pending: -1, Oldest: -1, Consumers: d.presence.count(ctx, stream, group)}, nil
}

func (d *Driver) coreNobody(stream string) *transport.Error {
	return failMsg(transport.CodeUnavailable, "publish", stream, "no live worker serves the stream, and core NATS stores nothing")
}

func (d *Driver) sendCore(m *transport.Message, reply string) error {
	return d.nc.PublishRequest(corePrefix+token(m.Stream), reply, m.Body)
}

func newCoreConsumer(d *Driver, name, group string) *coreConsumer {
	return &coreConsumer{d: d, name: name, group: group, wake: make(chan struct{}, 1), done: make(chan struct{}), subs: map[string]*coreStream{}}
}

func (c *coreConsumer) id() string { return c.name }

// serve subscribes to the streams in credits, and leaves those that are not served any more. A stream without credit stays
// subscribed: the server must know that somebody serves it.
func (c *coreConsumer) serve(ctx context.Context, credits []transport.Credit) error {
	listed := make(map[string]bool, len(credits))
	fresh := false
	for _, cr := range credits {
		listed[cr.Stream] = true
		c.mu.Lock()
		known := c.subs[cr.Stream] != nil
		c.mu.Unlock()
		if known {
			continue
		}
		if err := transport.CheckName(cr.Stream); err != nil {
			return err
		}
		s, err := c.subscribe(cr.Stream)
		if err != nil {
			return fail("receive", cr.Stream, err)
		}
		c.mu.Lock()
		c.subs[cr.Stream] = s
		c.mu.Unlock()
		fresh = true
	}
	c.mu.Lock()
	for stream, s := range c.subs {
		if !listed[stream] && len(s.queue) == 0 {
			c.leave(s)
			delete(c.subs, stream)
		}
	}
	c.mu.Unlock()
	if lost, up := c.d.link.current(); fresh && up {
		if err := c.d.mux.barrier(ctx, c.d.set.timeout, lost); err != nil && ctx.Err() == nil {
			return fail("receive", "", err)
		}
	}
	return nil
}

func (c *coreConsumer) subscribe(stream string) (*coreStream, error) {
	s := &coreStream{}
	var err error
	if s.live, err = c.d.presence.serve(stream, c.group, c.name); err != nil {
		return nil, err
	}
	s.sub, err = c.d.nc.QueueSubscribe(corePrefix+token(stream), token(c.group), func(m *natsgo.Msg) { c.put(s, stream, m) })
	if err != nil {
		c.d.presence.leave(s.live)
		return nil, err
	}
	_ = s.sub.SetPendingLimits(-1, -1) // coreQueue has the cap
	return s, nil
}

// put is called by the subscription's goroutine.
func (c *coreConsumer) put(s *coreStream, stream string, m *natsgo.Msg) {
	c.mu.Lock()
	full := c.waiting >= coreQueue || c.closed
	if !full {
		c.seq++
		c.waiting++
		s.queue = append(s.queue, transport.Delivery{
			Stream: stream, ID: c.name + "-" + strconv.FormatUint(c.seq, 10), Body: body(m), Attempt: 1, Age: -1, Token: coreToken{c},
		})
	}
	c.mu.Unlock()
	if full {
		c.d.log.warn("core full", "streamerson: requests are dropped: more came than this process can hold", "stream", stream, "limit", coreQueue)
		c.d.event(transport.Event{Kind: transport.EventDeleted, Stream: stream, N: 1})
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Receive gives what came, within the credits. A stream is served from the first Receive that lists it.
func (c *coreConsumer) Receive(ctx context.Context, limit int, credits []transport.Credit) ([]transport.Delivery, error) {
	if limit < 1 {
		return nil, failMsg(transport.CodeInvalid, "receive", "", "max must be at least 1")
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		select {
		case <-c.done:
			return nil, errClosed("receive")
		default:
		}
		if err := c.serve(ctx, credits); err != nil {
			return nil, err
		}
		if ds := c.take(limit, credits); len(ds) > 0 {
			return ds, nil
		}
		select {
		case <-c.wake:
		case <-c.done:
		case <-ctx.Done():
		}
	}
}

func (c *coreConsumer) take(limit int, credits []transport.Credit) []transport.Delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ledger.Reset(limit, credits)
	var ds []transport.Delivery
	for i, cr := range credits {
		s := c.subs[cr.Stream]
		if s == nil {
			continue
		}
		n := min(c.ledger.Allow(i), len(s.queue))
		c.ledger.Take(i, n)
		ds = append(ds, s.queue[:n]...)
		clear(s.queue[:n])
		if s.queue = s.queue[n:]; len(s.queue) == 0 {
			s.queue = nil
		}
	}
	c.waiting -= len(ds)
	return ds
}

// Settle publishes the replies; an ack has nothing else to do. Release and Extend are refused.
func (c *coreConsumer) Settle(ctx context.Context, batch []transport.Settlement, errs []error) {
	var replies []transport.Message
	var of []int
	for i := range batch {
		if errs[i] = c.checkSettlement(&batch[i]); errs[i] == nil && batch[i].Reply != nil {
			replies, of = append(replies, *batch[i].Reply), append(of, i)
		}
	}
	if len(replies) == 0 {
		return
	}
	results := make([]transport.Result, len(replies))
	c.d.Publish(ctx, replies, results)
	for k, i := range of {
		errs[i] = results[k].Err
	}
}

func (c *coreConsumer) checkSettlement(s *transport.Settlement) error {
	stream := ""
	var t coreToken
	if s.Delivery != nil {
		t, _ = s.Delivery.Token.(coreToken)
		stream = s.Delivery.Stream
	}
	select {
	case <-c.done:
		return errClosed("settle")
	default:
	}
	switch {
	case t.c != c:
		return failMsg(transport.CodeInvalid, "settle", stream, "this consumer did not receive that delivery")
	case s.Verb == transport.Release || s.Verb == transport.Extend:
		return failMsg(transport.CodeUnsupported, "settle", stream, "core NATS gives a request once; use nats:// where it has to come again")
	case s.Verb != transport.Ack:
		return failMsg(transport.CodeInvalid, "settle", stream, "the verb is not Ack, Release or Extend")
	}
	return nil
}

func (c *coreConsumer) leave(s *coreStream) {
	c.d.presence.leave(s.live)
	_ = s.sub.Unsubscribe() // fails only when the connection is closed
}

// Close leaves the queue groups. What waits in this process is handed on to others, as far as there are any.
func (c *coreConsumer) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	close(c.done)
	var left []transport.Delivery
	for _, s := range c.subs {
		c.leave(s)
		left = append(left, s.queue...)
	}
	c.subs = nil
	c.mu.Unlock()
	c.d.mu.Lock()
	delete(c.d.members, c)
	c.d.mu.Unlock()
	for _, x := range left {
		_ = c.d.nc.Publish(corePrefix+token(x.Stream), x.Body) // at most once: nobody may be there
	}
	if lost, up := c.d.link.current(); up {
		_ = c.d.mux.barrier(ctx, min(c.d.set.timeout, time.Second), lost)
	}
	return nil
}
