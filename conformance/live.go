package conformance

import (
	"context"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

func needDeleteGroup(e *Env) string { return missing("DeleteGroup", e.h.Broker.DeleteGroup == nil) }
func needDeleteConsumers(e *Env) string {
	return missing("DeleteConsumers", e.h.Broker.DeleteConsumers == nil)
}

// Rule: a stream that is deleted under load, with its groups, is made again by those who use it: ten calls in a row succeed within
// 5 s. What was accepted before may be lost with it; what is accepted afterwards is handled.
func streamDeleted(s *system) {
	d, ok := s.open().(transport.StreamDeleter)
	if !ok {
		s.cant = "the driver is no transport.StreamDeleter, so nothing here can delete a stream"
		return
	}
	s.deleted("the stream", func(ctx context.Context) error { return d.DeleteStreams(ctx, []string{s.stream}) })
}

// Rule: the same for the workers' group.
func groupDeleted(s *system) {
	s.deleted("the group", func(ctx context.Context) error {
		return s.h.Broker.DeleteGroup(ctx, s.stream, rpc.DefaultGroup)
	})
}

// Rule: the same for what the broker knows of the group's members.
func consumersDeleted(s *system) {
	s.deleted("the group's members", func(ctx context.Context) error {
		return s.h.Broker.DeleteConsumers(ctx, s.stream, rpc.DefaultGroup)
	})
}

// deleted has the harness delete something under load.
func (s *system) deleted(what string, f func(context.Context) error) {
	s.Helper()
	s.local(nil)
	s.local(nil)
	c, _ := s.client(nil)
	s.backWithin(c, comeBack)
	l := s.startLoad(c, 8, patience/5)
	s.until(patience, "the load to begin", func() bool { begun, _ := s.ledger.totals(); return begun > 20 })
	s.do("deleting "+what, f)
	row := 0
	s.until(comeBack, "ten good calls in a row", func() bool {
		for ; row < 10; row++ {
			if s.call(c, s.request(fnEcho, "back?", patience/10)).err != nil {
				row = 0
				return false
			}
		}
		return true
	})
	l.end()
	s.Logf("%v", l)
	s.ledger.forget()
	s.forgiven = what + " was deleted with what it held"
	for i := range 20 {
		if got := s.call(c, s.request(fnEffect, "after"+itoa(i), 2*patience)); got.err != nil {
			s.Errorf("call %d afterwards: %v", i, got.err)
		}
		if err := s.send(c, s.request(fnEffect, "way"+itoa(i), 0)); err != nil {
			s.Errorf("message %d afterwards: %v", i, err)
		}
	}
	s.until(2*patience, "what was accepted afterwards to run", func() bool { return len(s.ledger.lost()) == 0 })
	s.drained()
}
