package nats

import (
	"context"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/streamerson/streamerson/transport"
)

// Settle publishes the replies; an ack has nothing else to do. Release and Extend are refused.
func (c *coreConsumer) Settle(ctx context.Context, batch []transport.Settlement, errs []error) {
	var replies replySet
	for i := range batch {
		if errs[i] = c.checkSettlement(&batch[i]); errs[i] == nil && batch[i].Reply != nil {
			replies.add(i, len(batch), batch[i].Reply)
		}
	}
	replies.publish(ctx, c.d, errs)
}

// SettleLate implements transport.LateSettler.
func (c *coreConsumer) SettleLate(s *transport.Settlement, to transport.Late) bool {
	return s.Reply != nil && c.checkSettlement(s) == nil && c.d.PublishLate(s.Reply, to)
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

// leave ends a stream's subscriptions. Unlike after Unsubscribe, after Drain what is on its way still comes. But nats.go (1.55,
// checkDrained) forgets a subscription that it drained while it was reconnecting, after it has made it again at the server: what
// that sends here is dropped then for as long as the connection lives.
func (c *coreConsumer) leave(s *coreStream) {
	if s.live != nil {
		c.d.presence.leave(s.live)
	}
	if c.d.nc.IsConnected() {
		_ = s.sub.Drain() // fails only when the connection is closed
	}
	if !c.d.nc.IsConnected() {
		_ = s.sub.Unsubscribe() // the same
	}
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
	for _, s := range c.subs {
		c.leave(s)
	}
	c.mu.Unlock()
	c.d.mu.Lock()
	delete(c.d.members, c)
	c.d.mu.Unlock()
	lost, up := c.d.link.current()
	if !up {
		return nil
	}
	limit := min(c.d.set.timeout, time.Second)
	_ = c.d.mux.barrier(ctx, limit, lost) // then the server sends nothing more here
	c.mu.Lock()
	var left []*natsgo.Msg
	for _, s := range c.subs {
		left = append(left, s.queue[s.head:]...)
	}
	c.subs = nil
	for m := c.next(); m != nil; m = c.next() {
		left = append(left, m)
	}
	c.mu.Unlock()
	if len(left) == 0 {
		return nil
	}
	for _, m := range left {
		c.handOn(m)
	}
	_ = c.d.mux.barrier(ctx, limit, lost)
	return nil
}
