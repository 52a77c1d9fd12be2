package rpc

import (
	"context"
	"slices"
	"time"

	"github.com/streamerson/streamerson/transport"
)

const (
	// settleRetry is the wait before a settlement that the broker refused is tried again, doubled up to settleRetryMax: a
	// reply that can't be stored is never acked away.
	settleRetry    = 20 * time.Millisecond
	settleRetryMax = time.Second
)

// lent returns the delivery to settle: the newest that came for this entry.
func (h *handling) lent() *transport.Delivery {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.newest()
}

func (h *handling) newest() *transport.Delivery {
	if h.newer != nil {
		return h.newer
	}
	return &h.delivery
}

// lose ends the handler's context because d is another worker's, and reports whether it did.
func (h *handling) lose(d *transport.Delivery) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.newest() != d || h.cause != nil {
		return false
	}
	h.lost = d
	h.endLocked(ErrLeaseLost)
	return true
}

// lostDelivery is the one that lose was told of.
func (h *handling) lostDelivery() *transport.Delivery {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost
}

// adopt takes a redelivery of the same entry: from now on it is the one to settle.
func (h *handling) adopt(d *transport.Delivery) {
	h.mu.Lock()
	h.newer = d
	h.mu.Unlock()
}

// settle frees the slot and queues the settlement that h describes.
func (s *Server) settle(h *handling, verb transport.Verb) {
	if h.member() {
		s.settleMember(h, verb)
		return
	}
	h.verb = verb
	quiet := !h.slotless && s.slots.free(h.stream)
	if verb == transport.Release {
		// It may be here again before the answer is: that delivery is to run, and a heartbeat must not undo the release.
		s.leases.remove(h)
		s.dedup.forsake(h)
	}
	// After a stop (SIGSTOP, a sleeping machine) the lease may be gone without anybody having noticed: ask first.
	if h.toLane() && s.caps.Extend && h.waited+h.took > s.cfg.Lease && s.leases.age(h, time.Now()) > s.cfg.Lease && !s.stillOurs(h) {
		h.disown()
		s.done(h)
		return
	}
	if quiet && s.caps.Silence > 0 { // nothing else runs or comes: no batch would form
		if !s.settling.addAlone(h) {
			s.done(h)
		}
		return
	}
	s.queue(h)
}

func (s *Server) queue(h *handling) {
	if !s.settling.add(h) { // the server is closed: the entry comes back when its lease ends
		s.done(h)
	}
}

// stillOurs asks the broker whether the delivery is; otherwise h has been taken out.
func (s *Server) stillOurs(h *handling) bool {
	d := h.lent()
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Lease/3)
	defer cancel()
	var errs [1]error
	s.consumer.Settle(ctx, []transport.Settlement{{Delivery: d, Verb: transport.Extend}}, errs[:])
	if !transport.IsCode(errs[0], transport.CodeStale) || !s.dedup.abandon(h, d) {
		return true
	}
	s.cfg.Observer.LeaseLost(h.stream.cfg.Name)
	return false
}

// lost ends a handler whose delivery the broker has given to another, unless that was this worker again.
func (s *Server) lost(h *handling, d *transport.Delivery) {
	if h.lose(d) {
		s.cfg.Observer.LeaseLost(h.stream.cfg.Name)
	}
}

// forget drops a delivery without settling it.
func (s *Server) forget(h *handling) {
	if !h.slotless {
		s.slots.free(h.stream)
	}
	s.done(h)
}

// done is the end of deliveries: nothing of them is held any longer.
func (s *Server) done(hs ...*handling) {
	s.leases.remove(hs...)
	s.dedup.end(hs...)
	n := 0
	for _, h := range hs {
		h.dropReply()
		if !h.slotless {
			n++
		}
		switch {
		case h.carries():
			s.dedup.end(h.carrier.list...)
		case h.counted:
			h.counted = false
			s.part(h.carrier)
		}
	}
	s.slots.settled(n)
}

// flushSettlements hands a batch to the driver. The settling batcher calls it, once at a time.
func (s *Server) flushSettlements(batch []*handling) {
	if batch = s.publishMembers(batch); len(batch) == 0 {
		return
	}
	p := s.packer
	p.arrange(batch)
	s.errs = slices.Grow(s.errs[:0], len(batch))[:len(batch)]
	clear(s.errs)
	s.cfg.Observer.Batch("settle", len(batch))
	// The driver's own time limit bounds it: a context a batch would cost more than the batch does under light load.
	s.consumer.Settle(context.Background(), p.batch, s.errs)
	well := s.well[:0]
	for i, h := range p.order {
		if s.errs[i] != nil {
			s.settledBadly(h, p.batch[i].Delivery, s.errs[i])
			continue
		}
		if h.dead != "" {
			s.deadLettered(h)
		}
		well = append(well, h)
	}
	s.done(well...)
	p.reset()
	clear(well)
	s.well = well
}

func (s *Server) deadLettered(h *handling) {
	s.cfg.Observer.DeadLettered(h.stream.cfg.Name, h.dead)
	s.logDead.Do(func() {
		s.cfg.Logger.Warn("a request went to the dead letter stream", "stream", h.stream.cfg.Name, "id", h.req.ID, "cause", h.dead)
	})
}

// settledBadly decides what a refused settlement of d becomes.
func (s *Server) settledBadly(h *handling, d *transport.Delivery, err error) {
	code := transport.CodeOf(err)
	toLane := h.toLane()
	inPack := h.packed
	if h.packed { // whatever it was: another of the pack may be the cause, and must not hold this one up for ever
		h.packed, h.alone = false, true
	}
	switch {
	case code == transport.CodeStale && !s.dedup.abandon(h, d): // it came back while this was under way
		s.queue(h)
	case code == transport.CodeStale:
		s.cfg.Observer.LeaseLost(h.stream.cfg.Name)
		h.disown() // if it comes back to this worker it has to be answered
		s.done(h)
	case code == transport.CodeClosed:
		s.done(h)
	case inPack && (code == transport.CodeTooLarge || code == transport.CodeInvalid || code == transport.CodeDenied || code == transport.CodeUnsupported || code == transport.CodeInternal):
		s.queue(h)
	case h.carries() && toLane && (code == transport.CodeTooLarge || code == transport.CodeInvalid || code == transport.CodeDenied || code == transport.CodeUnsupported):
		s.unpackReplies(h)
	case h.again && code == transport.CodeNotFound: // the stream was deleted, with all that it held
		s.done(h)
	case toLane && code == transport.CodeNotFound:
		// The caller's process is gone, and with it everyone who could read the reply.
		s.withoutReply(h)
	case toLane && (code == transport.CodeInvalid || code == transport.CodeDenied || code == transport.CodeUnsupported):
		// It will never be taken.
		s.entomb(h, DeadBadReplyTo, err.Error())
		s.queue(h)
	case toLane && code == transport.CodeTooLarge:
		s.requeueError(h, &Error{Code: CodeResourceExhausted, Message: "the reply is larger than the transport takes", Origin: OriginRuntime})
	case h.dead != "" && !s.caps.Stored && code == transport.CodeUnavailable:
		// Nobody reads the dead letters now, and this transport keeps nothing for later.
		s.logSettle.Do(func() {
			s.cfg.Logger.Warn("a dead letter is dropped: nobody reads them, and this transport stores nothing", "stream", h.stream.cfg.Name, "id", h.req.ID, "cause", h.dead)
		})
		s.withoutReply(h)
	case toLane && !h.deadline.IsZero() && time.Now().After(h.deadline):
		s.withoutReply(h) // nobody waits any longer
	case h.verb == transport.Release && s.caps.Redeliver:
		s.done(h) // it comes back with its lease: a release that is tried again could strike the delivery which that makes
	default:
		s.logSettle.Do(func() {
			s.cfg.Logger.Warn("a settlement was refused; trying on", "stream", h.stream.cfg.Name, "id", h.req.ID, "error", err)
		})
		wait := min(settleRetry<<min(h.tries, 10), settleRetryMax)
		h.tries++
		time.AfterFunc(wait, func() { s.queue(h) })
	}
}

// toLane reports whether an answer goes with the settlement, rather than a dead letter or nothing.
func (h *handling) toLane() bool { return h.reply != nil && h.dead == "" && !h.again }

func (h *handling) dropReply() {
	if h.reply != nil {
		h.reply.release()
		h.reply = nil
	}
}

func (s *Server) withoutReply(h *handling) {
	h.dropReply()
	s.queue(h)
}

// requeueError replaces a reply by an error, once: an error is small.
func (s *Server) requeueError(h *handling, e *Error) {
	if h.replaced {
		s.withoutReply(h)
		return
	}
	h.replaced = true
	h.dropReply()
	h.reply = encodeFrame(errorReply(h, e))
	s.queue(h)
}

// sendReply publishes a reply whose request is settled by other means. Best effort.
func (s *Server) sendReply(m transport.Message) {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Lease/3)
	defer cancel()
	var r [1]transport.Result
	s.d.Publish(ctx, []transport.Message{m}, r[:])
}
