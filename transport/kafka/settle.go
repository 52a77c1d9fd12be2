package kafka

import (
	"context"

	"github.com/streamerson/streamerson/transport"
)

// Settle publishes the replies, and marks as settled what has none or whose reply was accepted. The marks are committed within
// commitEvery.
func (c *consumer) Settle(ctx context.Context, items []transport.Settlement, errs []error) {
	clear(errs)
	if err := c.open("settle"); err != nil {
		for i := range errs {
			errs[i] = err
		}
		return
	}
	var replies []transport.Message
	var last *transport.Message
	var of []int // which of replies answers an item, or −1
	for i := range items {
		s := &items[i]
		h, ok := s.Delivery.Token.(*held)
		switch {
		case !ok || h.c != c:
			errs[i] = failMsg(transport.CodeInvalid, "settle", s.Delivery.Stream, "the delivery was not received by this consumer")
		case s.Verb == transport.Extend:
			errs[i] = failMsg(transport.CodeUnsupported, "settle", s.Delivery.Stream, "Kafka has no leases: a delivery stays with its consumer for as long as that lives")
		case s.Verb == transport.Release:
			errs[i] = h.release(s)
		case s.Verb != transport.Ack:
			errs[i] = failMsg(transport.CodeInvalid, "settle", s.Delivery.Stream, "the settlement has no verb")
		case s.Reply != nil:
			if of == nil {
				of = make([]int, len(items))
				for k := range of {
					of[k] = -1
				}
			}
			// Neighbours that share a reply have it published once.
			if s.Reply != last {
				last, replies = s.Reply, append(replies, *s.Reply)
			}
			of[i] = len(replies) - 1
		default:
			errs[i] = h.ack(s)
		}
	}
	if len(replies) == 0 {
		return
	}
	results := make([]transport.Result, len(replies))
	c.d.publish(ctx, "settle", replies, results)
	for i, k := range of {
		if k < 0 {
			continue
		}
		if results[k].Outcome != transport.OutcomeAccepted {
			errs[i] = results[k].Err
			continue
		}
		// A reply whose delivery has gone elsewhere was sent all the same: the caller has waited long enough.
		errs[i] = items[i].Delivery.Token.(*held).ack(&items[i])
	}
}

func stale(s *transport.Settlement) error {
	return failMsg(transport.CodeStale, "settle", s.Delivery.Stream, "the partition of "+s.Delivery.ID+" went to another consumer")
}

func (h *held) ack(s *transport.Settlement) error {
	m := h.p.m
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case h.p.held[h.e.offset] != h && h.settled:
		return nil // twice is harmless
	case h.p.lost:
		return stale(s)
	}
	h.settled = true
	delete(h.p.held, h.e.offset)
	h.p.settle(h.e.offset)
	return nil
}

func (h *held) release(s *transport.Settlement) error {
	m := h.p.m
	m.mu.Lock()
	if h.p.lost || h.settled {
		m.mu.Unlock()
		return stale(s)
	}
	h.p.release(h, max(s.Delay, 0))
	m.mu.Unlock()
	m.wake()
	return nil
}
