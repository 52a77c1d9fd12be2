package rpc

import (
	"github.com/streamerson/streamerson/transport"
)

// publishLate publishes a lone call without waiting for the outcome, which its reply will tell sooner. It reports false when
// that can't be.
func (p *publisher) publishLate(o outgoing) bool {
	if p.late == nil || o.call == nil || o.oneWay {
		return false
	}
	o.frame.msg = transport.Message{Stream: o.stream, Key: o.key, Body: o.frame.b, DedupID: dedupID(p.d, o.call.id)}
	if !p.late.PublishLate(&o.frame.msg, o.call) {
		return false
	}
	p.observer.Batch("publish", 1)
	o.frame.release()
	return true
}

// Told implements transport.Late.
func (c *call) Told(r transport.Result) {
	c.published(r, c.table.now())
	c.release()
}

// published sets a call's outcome. An unknown one ends nothing: the request may be stored, and its reply may come until the deadline.
func (c *call) published(r transport.Result, now int64) {
	c.settle(r.Outcome, now)
	if r.Outcome == transport.OutcomeRejected && c.table.leave(c, DropUnknown) {
		c.err = fromTransport(r.Err, r.Outcome)
		c.ready <- struct{}{}
	}
}

// lateSettlement is a settlement whose outcome is told later.
type lateSettlement struct {
	s *Server
	h *handling
	d *transport.Delivery
}

// settleLate settles a lone answer without waiting for the outcome. It reports false when that can't be.
func (s *Server) settleLate(h *handling) bool {
	if s.late == nil || h.verb != transport.Ack || !h.toLane() || h.carrier != nil {
		return false
	}
	p := s.packer
	p.order, p.batch = p.order[:0], p.batch[:0]
	p.settle(h, h.message())
	s.slots.late.Add(1)
	sent := s.late.SettleLate(&p.batch[0], &lateSettlement{s, h, p.batch[0].Delivery})
	p.reset()
	if !sent {
		s.slots.late.Add(-1)
		return false
	}
	s.cfg.Observer.Batch("settle", 1)
	return true
}

// Told implements transport.Late.
func (l *lateSettlement) Told(r transport.Result) {
	l.s.slots.late.Add(-1)
	if r.Err != nil {
		l.s.settledBadly(l.h, l.d, r.Err)
		return
	}
	l.s.done(l.h)
}
