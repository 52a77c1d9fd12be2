package nats

import (
	"context"
	"strconv"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/streamerson/streamerson/transport"
)

// sort takes a message from inbox into its stream's queue. The caller holds c.mu.
func (c *coreConsumer) sort(m *natsgo.Msg) {
	s := c.bySub[m.Sub]
	if s == nil || c.closed { // it is not served here any more
		c.handOn(m)
		return
	}
	if c.waiting >= coreQueue {
		c.dropped(s, 1)
		return
	}
	c.waiting++
	if len(s.queue) == cap(s.queue) && s.head > len(s.queue)/2 { // else append makes room: moving is paid for by growth
		n := copy(s.queue, s.queue[s.head:])
		clear(s.queue[n:])
		s.queue, s.head = s.queue[:n], 0
	}
	s.queue = append(s.queue, m)
}

// handOn sends a request to the other members of its group. The server has handled this one's leaving before.
func (c *coreConsumer) handOn(m *natsgo.Msg) {
	_ = c.d.nc.Publish(m.Subject, m.Data) // at most once: nobody else may be there
}

func (c *coreConsumer) dropped(s *coreStream, n int64) {
	c.d.log.Warn("core full", "streamerson: requests are dropped: more came than this process can hold", "stream", s.name, "limit", coreQueue)
	c.d.event(transport.Event{Kind: transport.EventDeleted, Stream: s.name, N: n})
}

// droppedEvery is how often it is counted what is dropped, as long as there is something: the client library tells of the first
// message only.
const droppedEvery = 250 * time.Millisecond

// reportDropped tells of what the client library has dropped because inbox was full.
func (c *coreConsumer) reportDropped() {
	c.mu.Lock()
	defer c.mu.Unlock()
	more := false
	for _, s := range c.subs {
		if n, err := s.sub.Dropped(); err == nil && n > s.lost {
			c.dropped(s, int64(n-s.lost))
			s.lost, more = n, true
		}
	}
	if more {
		time.AfterFunc(droppedEvery, c.reportDropped)
	}
}

// Receive gives what came, within the credits.
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
		if err := c.serve(credits); err != nil {
			return nil, err
		}
		if ds := c.take(limit, credits); len(ds) > 0 {
			return ds, nil
		}
		select {
		case m := <-c.inbox:
			c.mu.Lock()
			c.sort(m)
			c.mu.Unlock()
		case <-c.done:
		case <-ctx.Done():
		}
	}
}

// next is what the inbox has now, or nil.
func (c *coreConsumer) next() *natsgo.Msg {
	select {
	case m := <-c.inbox:
		return m
	default:
		return nil
	}
}

// id makes the next delivery's id.
func (c *coreConsumer) id() string {
	c.seq++
	c.ids = strconv.AppendUint(append(append(c.ids[:0], c.name...), '-'), c.seq, 10)
	return string(c.ids)
}

func (c *coreConsumer) take(limit int, credits []transport.Credit) []transport.Delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	for m := c.next(); m != nil; m = c.next() {
		c.sort(m)
	}
	if c.waiting == 0 {
		return nil
	}
	c.ledger.Reset(limit, credits)
	ds := make([]transport.Delivery, 0, min(limit, c.waiting))
	for i, cr := range credits {
		s := c.subs[cr.Stream]
		if s == nil {
			continue
		}
		waiting := s.queue[s.head:]
		n := min(c.ledger.Allow(i), len(waiting))
		c.ledger.Take(i, n)
		for _, m := range waiting[:n] {
			ds = append(ds, transport.Delivery{Stream: cr.Stream, ID: c.id(), Body: body(m), Attempt: 1, Age: -1, Token: coreToken{c}})
		}
		clear(waiting[:n])
		if s.head += n; s.head == len(s.queue) {
			s.queue, s.head = s.queue[:0], 0
			if cap(s.queue) > keptQueue {
				s.queue = nil
			}
		}
	}
	c.waiting -= len(ds)
	return ds
}
