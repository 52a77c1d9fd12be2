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
		if r := batch[i].Reply; r != nil && r.Lane && (i == 0 || r != batch[i-1].Reply) {
			size += len(r.Body)
		}
	}
	sender := replies{buf: newArena(size), now: c.d.b.now()}
	for i := range batch {
		errs[i] = c.settle(&batch[i], &sender)
	}
}

// replies publishes the replies of one batch, a shared one once.
type replies struct {
	buf  arena
	now  time.Duration
	last *transport.Message
	err  error
}

func (r *replies) send(d *Driver, m *transport.Message) error {
	if m == r.last {
		return r.err
	}
	r.last, r.err = m, d.publish(m, &r.buf, r.now).Err
	if r.err == nil {
		d.wake(m)
	}
	return r.err
}

func (c *consumer) settle(s *transport.Settlement, replies *replies) error {
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
	g, now := l.m.g, replies.now
	switch s.Verb {
	case transport.Ack:
		if s.Reply != nil {
			if err := replies.send(c.d, s.Reply); err != nil {
				return err
			}
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
