package mem

import (
	"context"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// Settle implements transport.Consumer. A reply of a delivery that is stale is not sent. Settling what another consumer
// received, or what Browse returned, is CodeInvalid. It blocks only while the broker is paused.
func (c *consumer) Settle(ctx context.Context, batch []transport.Settlement, errs []error) {
	if err := c.d.enter(ctx, "settle"); err != nil {
		for i := range errs {
			errs[i] = err
		}
		return
	}
	defer c.d.unlock()
	size := 0
	for i := range batch {
		if r := batch[i].Reply; r != nil && r.Lane {
			size += len(r.Body)
		}
	}
	buf, now := newArena(size), c.d.b.now()
	for i := range batch {
		errs[i] = c.settle(&batch[i], &buf, now)
	}
}

func (c *consumer) settle(s *transport.Settlement, buf *arena, now time.Duration) error {
	fail := func(code transport.Code, msg string) error {
		e := &transport.Error{Code: code, Op: "settle", Msg: msg}
		if s.Delivery != nil {
			e.Stream = s.Delivery.Stream
		}
		return e
	}
	if c.closed {
		return errClosed("settle")
	}
	var l *lease
	if s.Delivery != nil {
		l, _ = s.Delivery.Token.(*lease)
	}
	switch {
	case l == nil || l.m == nil || l.m.c != c:
		return fail(transport.CodeInvalid, "this consumer did not receive that delivery")
	case s.Reply != nil && s.Verb != transport.Ack:
		return fail(transport.CodeInvalid, "only an Ack carries a Reply")
	case s.Delay < 0:
		return fail(transport.CodeInvalid, "Delay is negative")
	case l.m.g.gone && s.Verb != transport.Ack:
		return fail(transport.CodeNotFound, "the stream was deleted")
	}
	switch l.state {
	case stateLeased, stateExpired:
	case stateAcked:
		if s.Verb == transport.Ack {
			return nil
		}
		return fail(transport.CodeStale, "the delivery is settled already")
	case stateReleased:
		return fail(transport.CodeStale, "the delivery was given back")
	default:
		return fail(transport.CodeStale, "the lease ran out and another consumer has the message")
	}
	g := l.m.g
	switch s.Verb {
	case transport.Ack:
		if s.Reply != nil {
			r := c.d.publish(s.Reply, buf, now)
			if r.Err != nil {
				return r.Err
			}
			c.d.wake(s.Reply)
		}
		if err := c.d.b.faults.loseAck(l); err != nil {
			return err
		}
		g.unhold(l)
		l.state = stateAcked
		g.pending--
		g.s.settled(l.e)
		l.e = nil
	case transport.Release:
		g.unhold(l)
		l.state = stateReleased
		g.free(l.e, l.attempt, now+s.Delay, now)
		l.e = nil
		if s.Delay == 0 {
			g.wake(1)
		} else {
			g.alarm(now + s.Delay)
		}
	case transport.Extend:
		g.unhold(l)
		g.hold(l, now)
		g.alarm(l.due)
	default:
		return fail(transport.CodeInvalid, "the verb is not Ack, Release or Extend")
	}
	return nil
}
