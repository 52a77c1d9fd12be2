package rpc

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"

	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
)

// carrier is a packed request: several requests that came as one delivery. One runner runs its members one after the other, in
// one slot, and the delivery is acked when all of them have ended. Their replies travel as one frame with that ack, as far as
// they can. What ends otherwise (a dead letter, a reply that is too long, a request that another worker is to run) is published
// by itself before. A pack that was delivered before is not run: it may hold the request that killed its worker. Its members are
// published one by one, so each has its own attempts from then on.
type carrier struct {
	h       *handling // the delivery: it has the slot, the lease and the packed replies
	members []handling
	list    []*handling  // of members
	open    atomic.Int32 // the run, and the members that are published by themselves: what the ack waits for
	settled bool         // the ack was queued once: the slot is free
}

// carries reports whether h is the delivery of a pack.
func (h *handling) carries() bool { return h.carrier != nil && h.carrier.h == h }

// member reports whether h came in a pack.
func (h *handling) member() bool { return h.carrier != nil && h.carrier.h != h }

// owner is the handling of the delivery that h came with.
func (h *handling) owner() *handling {
	if h.member() {
		return h.carrier.h
	}
	return h
}

// disown takes back that h had its effect: nobody got its reply.
func (h *handling) disown() {
	h.ran = false
	if h.carries() {
		for _, m := range h.carrier.list {
			m.ran = false
		}
	}
}

// runPack runs the members of a pack. h was filled from the pack's own envelope.
func (s *Server) runPack(h *handling) {
	switch seen := s.dedup.begin(h); seen {
	case seenAgain, seenRunning, seenDone:
		s.duplicate(h, seen)
		return
	}
	c, err := newCarrier(h)
	if err != nil {
		s.bury(h, nil, DeadUndecodable, err.Error())
		return
	}
	begun := 0
	defer func() { // deferred for a handler that ends its goroutine
		if !s.lostFor(h) {
			for _, m := range c.list[begun:] {
				s.publishAgain(m)
			}
		}
		h.took, h.ran = time.Since(h.received)-h.waited, true
		s.part(c)
	}()
	if h.delivery.Attempt > 1 {
		return
	}
	for begun < len(c.list) && h.ended() == nil {
		m := c.list[begun]
		begun++
		s.run(m)
	}
}

func newCarrier(h *handling) (*carrier, error) {
	n := 0
	if err := wire.Unpack(h.delivery.Body, func([]byte) { n++ }); err != nil {
		return nil, err
	}
	// One array: its members end together.
	c := &carrier{h: h, members: make([]handling, n), list: make([]*handling, n)}
	c.open.Store(1)
	i := 0
	err := wire.Unpack(h.delivery.Body, func(frame []byte) {
		m := &c.members[i]
		m.delivery, m.stream, m.received, m.carrier, m.slotless = h.delivery, h.stream, h.received, c, true
		m.delivery.Body = frame
		c.list[i] = m
		i++
	})
	h.mu.Lock()
	h.carrier = c
	h.mu.Unlock()
	return c, err
}

// part counts one of the things down that the ack of a pack waits for.
func (s *Server) part(c *carrier) {
	if c.open.Add(-1) > 0 {
		return
	}
	switch {
	case c.settled: // and refused
		s.queue(c.h)
	case s.lostFor(c.h):
		c.h.disown()
		s.forget(c.h)
	default:
		c.settled = true
		s.settle(c.h, transport.Ack)
	}
}

// lostFor reports whether the pack h is another worker's now.
func (s *Server) lostFor(h *handling) bool {
	return errors.Is(h.ended(), ErrLeaseLost) && s.dedup.abandon(h, h.lostDelivery())
}

// settleMember takes over what a member ends with. It is called by the runner of its pack.
func (s *Server) settleMember(m *handling, verb transport.Verb) {
	c := m.carrier
	switch {
	case verb == transport.Release:
		s.dedup.forsake(m) // it may be here again before the answer is
		s.publishAgain(m)
	case m.reply == nil:
	case !s.joinReplies(c, m):
		s.byItself(m)
	}
}

// joinReplies adds m's reply to its pack's, if it fits.
func (s *Server) joinReplies(c *carrier, m *handling) bool {
	h := c.h
	if !m.packable() || h.reply != nil && (h.replyTo != m.replyTo || len(h.reply.b)+m.packedSize() > s.packer.limit) {
		return false
	}
	if h.reply == nil {
		h.reply = newFrame()
		h.reply.b = wire.AppendPack(h.reply.b, wire.KindReplies, ID{})
		h.replyTo, h.packs = m.replyTo, true
	}
	h.reply.b = wire.AppendMember(h.reply.b, m.reply.b)
	if m.deadline.After(h.deadline) {
		h.deadline = m.deadline
	}
	m.joined = true
	m.dropReply()
	return true
}

// byItself queues what m publishes alone; its pack waits for that.
func (s *Server) byItself(m *handling) {
	m.counted = true
	m.carrier.open.Add(1)
	s.queue(m)
}

// publishAgain gives m's request back to its stream, as a message of its own; what nobody could run is given up here.
func (s *Server) publishAgain(m *handling) {
	if m.req.ID.IsZero() { // it has not been begun
		if _, ok := s.open(m); !ok {
			return
		}
	}
	f := newFrame()
	f.b = append(f.b, m.delivery.Body...)
	if !m.deadline.IsZero() {
		left := time.Until(m.deadline)
		if left <= 0 {
			s.cfg.Observer.Expired(m.stream.cfg.Name, ExpireDeadline)
			f.release()
			if m.req.OneWay {
				s.bury(m, nil, DeadExpired, "its deadline passed in the queue")
			}
			return
		}
		wire.SetBudget(f.b, budgetMillis(left)) // its age begins anew
	}
	if m.delivery.Attempt > 1 {
		wire.SetAttempt(f.b, uint16(min(m.delivery.Attempt, math.MaxUint16))) // so that it is a suspect where it goes
	}
	m.dropReply()
	m.reply, m.again, m.dead = f.to(m.delivery.Stream, false), true, ""
	f.msg.DedupID = dedupID(s.d, m.req.ID)
	s.byItself(m)
}

// unpackReplies has each reply of a pack that was refused published by itself.
func (s *Server) unpackReplies(h *handling) {
	c := h.carrier
	packed := h.reply
	h.reply = nil
	c.open.Store(1)
	i := 0
	_ = wire.Unpack(packed.b, func(frame []byte) { // made here: it is a good one
		for !c.list[i].joined {
			i++
		}
		m := c.list[i]
		i++
		m.reply = newFrame()
		m.reply.b = append(m.reply.b, frame...)
		s.byItself(m)
	})
	packed.release()
	s.part(c)
}

// publishMembers publishes what members of packs end with by themselves, and returns the rest of the batch.
func (s *Server) publishMembers(batch []*handling) []*handling {
	var members []*handling
	rest := batch
	for i, h := range batch {
		switch {
		case h.member():
			if members == nil { // rare: the batch is copied only then
				rest = append([]*handling(nil), batch[:i]...)
			}
			members = append(members, h)
		case members != nil:
			rest = append(rest, h)
		}
	}
	if members == nil {
		return batch
	}
	var sent []*handling
	var msgs []transport.Message
	for _, m := range members {
		if m.reply == nil { // its caller is gone
			s.done(m)
			continue
		}
		sent, msgs = append(sent, m), append(msgs, *m.message())
	}
	results := make([]transport.Result, len(msgs))
	if len(msgs) > 0 {
		s.d.Publish(context.Background(), msgs, results) // bounded as a settlement is
	}
	for i, m := range sent {
		if results[i].Outcome != transport.OutcomeAccepted {
			s.settledBadly(m, m.lent(), results[i].Err)
			continue
		}
		if m.dead != "" {
			s.deadLettered(m)
		}
		s.done(m)
	}
	return rest
}
