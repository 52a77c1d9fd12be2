package nats

import (
	"context"
	"strconv"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/streamerson/streamerson/transport"
)

// The words that JetStream understands on a delivery's reply subject, where nothing is an ack.
var (
	nak      = []byte("-NAK")
	progress = []byte("+WPI")
)

// Settle publishes the replies first and waits for their outcomes, then sends the acks without waiting: one that is lost with
// the connection leads to a redelivery. Release and Extend wait for the server's answer. A delivery whose lease has ended by
// our clock is CodeStale without asking: the server takes an ack from anyone, also when it has given the message to another.
func (c *consumer) Settle(ctx context.Context, batch []transport.Settlement, errs []error) {
	var replies replySet
	now := time.Now()
	c.mu.Lock()
	for i := range batch {
		s := &batch[i]
		if errs[i] = c.check(s, now); errs[i] == nil && s.Reply != nil && leaseOf(s).state == held {
			replies.add(i, len(batch), s.Reply)
		}
	}
	c.mu.Unlock()
	replies.publish(ctx, c.d, errs)
	c.confirm(ctx, batch, errs)
	c.acks(batch, errs)
}

func leaseOf(s *transport.Settlement) *lease { return s.Delivery.Token.(*lease) }

// check refuses a settlement that can't be. The caller holds c.mu.
func (c *consumer) check(s *transport.Settlement, now time.Time) error {
	if c.closed {
		return errClosed("settle")
	}
	var l *lease
	stream := ""
	if s.Delivery != nil {
		l, _ = s.Delivery.Token.(*lease)
		stream = s.Delivery.Stream
	}
	switch {
	case l == nil || l.c != c:
		return failMsg(transport.CodeInvalid, "settle", stream, "this consumer did not receive that delivery")
	case s.Verb < transport.Ack || s.Verb > transport.Extend:
		return failMsg(transport.CodeInvalid, "settle", stream, "the verb is not Ack, Release or Extend")
	case s.Reply != nil && s.Verb != transport.Ack:
		return failMsg(transport.CodeInvalid, "settle", stream, "only an Ack carries a Reply")
	case s.Delay < 0:
		return failMsg(transport.CodeInvalid, "settle", stream, "Delay is negative")
	case l.state == acked && s.Verb == transport.Ack:
		return nil
	case l.state == acked:
		return failMsg(transport.CodeStale, "settle", stream, "the delivery is settled already")
	case l.state == released:
		return failMsg(transport.CodeStale, "settle", stream, "the delivery was given back")
	case !now.Before(l.until):
		c.leased.remove(l)
		return failMsg(transport.CodeStale, "settle", stream, "the lease ran out; another consumer may have the message")
	}
	return nil
}

// acks sends the acks of a batch whose replies are accepted. The lock is not held meanwhile: a write to a server that reads
// nothing blocks.
func (c *consumer) acks(batch []transport.Settlement, errs []error) {
	for i := range batch {
		if errs[i] == nil && batch[i].Verb == transport.Ack {
			// Again for one that is acked, which the server ignores.
			if err := c.d.nc.Publish(leaseOf(&batch[i]).ack, nil); err != nil {
				errs[i] = errDown("settle", batch[i].Delivery.Stream, err)
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range batch {
		if errs[i] != nil || batch[i].Verb != transport.Ack {
			continue
		}
		l := leaseOf(&batch[i])
		if l.state != acked {
			l.trim.settled.Add(1)
			l.trim.bytes.Add(int64(l.size))
			l.state = acked
			c.leased.remove(l)
		}
	}
}

// confirm sends the releases and extensions and waits for the server's answers.
func (c *consumer) confirm(ctx context.Context, batch []transport.Settlement, errs []error) {
	todo := make([]int, 0, len(batch))
	for i := range batch {
		if errs[i] == nil && batch[i].Verb != transport.Ack {
			todo = append(todo, i)
		}
	}
	if len(todo) == 0 {
		return
	}
	lost, up := c.d.link.current()
	if !up {
		for _, i := range todo {
			errs[i] = errDown("settle", batch[i].Delivery.Stream, natsgo.ErrDisconnected)
		}
		return
	}
	f := c.d.mux.open(len(todo), lost)
	defer f.close()
	sent := time.Now()
	for k, i := range todo {
		if err := c.d.nc.PublishRequest(leaseOf(&batch[i]).ack, f.reply(k, true), word(&batch[i])); err != nil {
			f.forget(k)
			errs[i] = errDown("settle", batch[i].Delivery.Stream, err)
		}
	}
	end := f.wait(ctx, c.d.set.timeout)
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, i := range todo {
		if errs[i] != nil {
			continue
		}
		stream, l := batch[i].Delivery.Stream, leaseOf(&batch[i])
		switch answer := f.got(k); {
		case answer == nil:
			errs[i] = unknown(ctx, stream, end).Err
		case noResponders(answer):
			errs[i] = failMsg(transport.CodeNotFound, "settle", stream, "the stream or group was deleted")
		case batch[i].Verb == transport.Extend:
			l.until = sent.Add(c.lease)
		default:
			l.state = released
			c.leased.remove(l)
		}
	}
}

func word(s *transport.Settlement) []byte {
	switch {
	case s.Verb == transport.Extend:
		return progress
	case s.Delay > 0:
		b := append(make([]byte, 0, 40), nak...)
		b = append(b, ` {"delay":`...)
		b = strconv.AppendInt(b, int64(s.Delay), 10)
		return append(b, '}')
	default:
		return nak
	}
}
