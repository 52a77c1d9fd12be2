package conformance

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/streamerson/streamerson/rpc"
)

// Rule: for 10 s nothing passes between the broker and one client and one worker, whose connections stay open. Another client
// and worker go on: all that they send is handled, also what the silent worker held. The silent client's calls end at their
// deadlines at the latest, with unavailable or deadline exceeded, and succeed within 2 s after the network is whole again.
func halfOpen(s *system) {
	s.atMostOnce()
	const timeout = patience / 5
	silence := 10 * time.Second
	if s.h.Short {
		silence = 4 * time.Second
	}
	p := s.hop()
	s.local(nil)
	s.workerVia(p)
	cut, _ := s.clientVia(p)
	whole, _ := s.client(nil)
	s.backWithin(cut, back)
	l := s.startLoad(cut, 8, timeout)
	time.Sleep(s.d(patience / 10))
	p.Silence()
	n := 0
	for over := time.Now().Add(silence); time.Now().Before(over); n++ {
		if err := s.send(whole, s.request(fnEffect, "whole"+itoa(n), 0)); err != nil {
			s.Errorf("a message of the client that is not cut off: %v", err)
		}
		time.Sleep(callerPause)
	}
	p.Heal()
	s.backWithin(cut, back)
	l.end()
	s.Logf("%v; meanwhile %d one-way messages of the other client", l, n)
	s.ended(l, timeout)
}

// ended checks that no call of the load outlived its deadline, and how they failed.
func (s *system) ended(l *load, timeout time.Duration) {
	s.Helper()
	if l.slowest > s.d(timeout)+slack {
		s.Errorf("a call took %v for a deadline of %v", l.slowest, s.d(timeout))
	}
	for code, n := range l.codes {
		if code != rpc.CodeUnavailable && code != rpc.CodeDeadlineExceeded {
			s.Errorf("%d failed with %v", n, code)
		}
	}
	if l.refused == 0 {
		s.Errorf("nothing was refused: nothing was cut off")
	}
	if l.good == 0 {
		s.Errorf("nothing succeeded: the scenario shows nothing")
	}
}

// Rule: 20 times in 30 s, at moments left to chance, all connections of a client and a worker are reset under load. Each call ends by
// its deadline; calls succeed within 2 s after the last cut; all that was accepted is handled.
func cuts20(s *system) {
	s.atMostOnce()
	const timeout = 2 * patience / 5
	const cuts = 20
	mean := 30 * time.Second / cuts
	if s.h.Short {
		mean /= 4
	}
	p := s.hop()
	s.local(nil)
	s.workerVia(p)
	c, _ := s.clientVia(p)
	s.backWithin(c, back)
	l := s.startLoad(c, 4, timeout)
	r := rand.New(rand.NewPCG(s.h.Seed, 20)) //nolint:gosec // to be made again from the seed
	for range cuts {
		time.Sleep(mean/2 + time.Duration(r.Int64N(int64(mean))))
		p.Cut()
	}
	s.backWithin(c, back)
	l.end()
	s.Logf("%v; the load ended", l)
	if l.slowest > s.d(timeout)+slack {
		s.Errorf("a call took %v for a deadline of %v", l.slowest, s.d(timeout))
	}
	if l.good == 0 {
		s.Errorf("nothing succeeded: the scenario shows nothing")
	}
}

// Rule: a client is cut off for 3 s while its call runs. The worker goes on: the call's handler comes to its end, once, and another
// client's calls all succeed. The client is not ready and its new calls fail with unavailable within 1 s. Once it is
// connected again it is ready and calls succeed within 2 s; the call that ran gets its reply, or ends by its deadline where the
// lane lives in the connection.
func gatewayCut(s *system) {
	s.once, s.storedOnce = true, true
	const outage = 3 * time.Second
	s.local(nil)
	p := s.hop()
	cut, _ := s.clientVia(p)
	whole, _ := s.client(nil)
	s.backWithin(cut, back)
	running := s.later(cut, s.request(fnEffect, "running "+s.millis(patience/5), 2*patience))
	s.until(patience, "the call to begin", func() bool { return s.ledger.beganTimes("running") == 1 })
	p.Down()
	over := time.Now().Add(outage)
	time.Sleep(inFlight)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; time.Now().Before(over); i++ {
			if got := s.call(whole, s.request(fnEffect, "whole"+itoa(i), 2*patience)); got.err != nil {
				s.Errorf("call %d of the client that is not cut off: %v", i, got.err)
			}
			time.Sleep(callerPause)
		}
	})
	for i := 0; time.Now().Before(over); i++ {
		got := s.call(cut, s.request(fnEcho, "x", 3*patience))
		if rpc.CodeOf(got.err) != rpc.CodeUnavailable || got.took > cutBound+slack {
			s.Errorf("call %d while cut off: %v after %v, want unavailable within %v", i, got.err, got.took, cutBound)
		}
		time.Sleep(outage / 20)
	}
	s.until(back, "the client not to be ready", func() bool { return cut.Ready() != nil })
	wg.Wait()
	s.fix(p.Up())
	s.backWithin(cut, back)
	s.until(back, "the client to be ready", func() bool { return cut.Ready() == nil })
	got := s.within(2*patience, running)
	if got.err != nil && rpc.CodeOf(got.err) != rpc.CodeDeadlineExceeded {
		s.Errorf("the call that ran when the connection broke: %v", got.err)
	}
	s.Logf("the call that ran when the connection broke: %v", got.err)
}
