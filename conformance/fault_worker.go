package conformance

import "github.com/streamerson/streamerson/rpc"

// Rule: a call whose worker is killed by kill -9 while it handles it is answered by another worker within Harness.Takeover (the
// lease of 1 s and 2 s without it). A transport on which a request doesn't outlive its worker lets the call end at its
// deadline, with deadline exceeded.
func workerKilled(s *system) {
	first := s.start(roleWorker, nil)
	c, _ := s.client(nil)
	timeout := s.takeoverBound() + 2*patience
	if !s.survives() {
		timeout = patience
	}
	called := s.later(c, s.request(fnStall, "x 60000", timeout))
	s.until(patience, "the call to begin", func() bool { return s.ledger.beganTimes("x") == 1 })
	second := s.start(roleWorker, nil)
	first.kill()
	if !s.survives() {
		if got := s.within(timeout, called); rpc.CodeOf(got.err) != rpc.CodeDeadlineExceeded {
			s.Errorf("got %+v, want deadline exceeded", got)
		}
		s.refused("a request doesn't outlive the worker that holds it: the caller finds out at its deadline")
		return
	}
	got := s.within(s.takeoverBound(), called)
	if got.err != nil || string(got.resp.Body) != second.name {
		s.Fatalf("got %+v, want an answer of %s", got, second.name)
	}
	s.Logf("taken over after %v", got.took)
}
