package nats

import (
	"context"
	"strconv"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/streamerson/streamerson/transport"
)

// The words that JetStream understands on a delivery's reply subject.
var (
	ack      = []byte("+ACK")
	nak      = []byte("-NAK")
	progress = []byte("+WPI")
)

// Settle publishes the replies first and waits for their outcomes, then sends the acks without waiting: one that is lost with
// the connection leads to a redelivery. Release and Extend wait for the server's answer. A delivery whose lease has ended by
// our clock is CodeStale without asking: the server takes an ack from anyone, also when it has given the message to another.
func (c *consumer) Settle(ctx context.Context, batch []transport.Settlement, errs []error) {
	replies, of := make([]transport.Message, 0, len(batch)), make([]int, 0, len(batch))
	for i := range batch {
		if errs[i] = c.checkSettlement(&batch[i]); errs[i] == nil && batch[i].Reply != nil && c.leaseOf(&batch[i]).stateNow() == held {
			replies, of = append(replies, *batch[i].Reply), append(of, i)
		}
	}
	if len(replies) > 0 {
		results := make([]transport.Result, len(replies))
		c.d.Publish(ctx, replies, results)
		for k, i := range of {
			errs[i] = results[k].Err
		}
	}
	c.confirm(ctx, batch, errs)
	for i := range batch {
		if errs[i] == nil && batch[i].Verb == transport.Ack {
			errs[i] = c.ack(c.leaseOf(&batch[i]), batch[i].Delivery.Stream)
		}
	}
}

func (c *consumer) leaseOf(s *transport.Settlement) *lease { return s.Delivery.Token.(*lease) }

func (l *lease) stateNow() leaseState {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	return l.state
}

func (c *consumer) checkSettlement(s *transport.Settlement) error {
	c.mu.Lock()
	defer c.mu.Unlock()
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
	case !time.Now().Before(l.until):
		delete(c.leased, l)
		return failMsg(transport.CodeStale, "settle", stream, "the lease ran out; another consumer may have the message")
	}
	return nil
}

func (c *consumer) ack(l *lease, stream string) error {
	c.mu.Lock()
	done := l.state == acked
	c.mu.Unlock()
	if done {
		return nil
	}
	if err := c.d.nc.Publish(l.ack, ack); err != nil {
		return errDown("settle", stream, err)
	}
	l.trim.settled.Add(1)
	l.trim.bytes.Add(int64(l.size))
	c.mu.Lock()
	defer c.mu.Unlock()
	l.state = acked
	delete(c.leased, l)
	return nil
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
	sent := time.Now()
	for k, i := range todo {
		if err := c.d.nc.PublishRequest(c.leaseOf(&batch[i]).ack, f.reply(k, true), word(&batch[i])); err != nil {
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
		stream, l := batch[i].Delivery.Stream, c.leaseOf(&batch[i])
		switch answer := f.got(k); {
		case answer == nil:
			errs[i] = unknown(ctx, stream, end).Err
		case noResponders(answer):
			errs[i] = failMsg(transport.CodeNotFound, "settle", stream, "the stream or group was deleted")
		case batch[i].Verb == transport.Extend:
			l.until = sent.Add(c.lease)
		default:
			l.state = released
			delete(c.leased, l)
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
