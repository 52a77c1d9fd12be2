package conformance

import (
	"context"
	"sync"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

// back is how long after the broker takes connections again calls may still fail. That is what is promised on a machine that has
// nothing else to do; a scenario tells how long it took, and fails at backMost, before Harness.Slow: a broker that has just
// started may want the machine's few cores for seconds.
const (
	back     = 2 * time.Second
	backMost = 4 * back
)

// brokerStart bounds one start of the broker, before Harness.Slow.
const brokerStart = 2 * time.Minute

// do has the harness do something to the broker.
func (s *system) do(what string, f func(context.Context) error) {
	s.Helper()
	ctx, cancel := s.ctx(brokerStart)
	defer cancel()
	if err := f(ctx); err != nil {
		s.Fatalf("harness: %s: %v", what, err)
	}
}

// down does something to the broker that the other function undoes; that is also done when the scenario ends before.
func (s *system) down(what string, f func(context.Context) error, again func(context.Context) error) (up func()) {
	s.Helper()
	s.do(what, f)
	done := false
	s.atEnd(func() {
		if !done {
			ctx, cancel := s.ctx(brokerStart)
			defer cancel()
			if err := again(ctx); err != nil {
				s.Errorf("harness: bringing the broker back: %v", err)
			}
		}
	})
	return func() {
		s.Helper()
		s.do("bringing the broker back", again)
		done = true
	}
}

// volatile notes that the broker may lose what it accepted when it is killed, where it says so.
func (s *system) volatile() {
	if s.caps.Durability < transport.DurabilityProcess {
		s.loses("Durability is " + s.caps.Durability.String() + ": what was accepted may be lost with the broker's process")
	}
}

// Rule: the broker is killed (kill -9) under load, with many requests waiting and being handled, and started again half a second
// later. Calls succeed within 2 s (see back) after it takes connections; everything that was accepted runs, unless Durability is less
// than process-crash.
func brokerKilled(s *system) {
	s.volatile()
	s.local(nil)
	s.local(nil)
	c, _ := s.client(nil)
	l := s.startLoad(c, 16, patience/2)
	time.Sleep(s.d(patience / 5))
	// More than there are slots for, so that some wait in the stream and some are being handled at the moment of the kill.
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() { l.note(s.send(c, s.request(fnEffect, "burst"+itoa(i)+" "+s.millis(patience/50), 0)), 0) })
	}
	wg.Wait()
	start := s.down("Kill", s.h.Broker.Kill, s.h.Broker.Start)
	time.Sleep(s.d(patience / 10))
	start()
	s.backWithin(c, backMost)
	time.Sleep(s.d(patience / 10))
	l.end()
	s.Logf("%v", l)
	if l.good == 0 {
		s.Errorf("nothing was accepted: the scenario shows nothing")
	}
}

// Rule: the broker is halted for 10 s (SIGSTOP: its connections stay open and nothing answers) under load. Meanwhile each call ends
// at its deadline at the latest, with unavailable or deadline exceeded; calls succeed within 2 s (see back) after it goes on; nothing
// that was accepted is lost.
func brokerStopped(s *system) {
	const timeout = patience / 5
	halted := 10 * time.Second
	if s.h.Short {
		halted = 4 * time.Second
	}
	s.local(nil)
	s.local(nil)
	c, _ := s.client(nil)
	l := s.startLoad(c, 16, timeout)
	time.Sleep(s.d(patience / 10))
	resume := s.down("Stop", s.h.Broker.Stop, s.h.Broker.Continue)
	time.Sleep(halted)
	resume()
	s.backWithin(c, backMost)
	l.end()
	s.Logf("%v", l)
	if l.slowest > s.d(timeout)+slack {
		s.Errorf("a call took %v for a deadline of %v", l.slowest, s.d(timeout))
	}
	for code, n := range l.codes {
		if code != rpc.CodeUnavailable && code != rpc.CodeDeadlineExceeded {
			s.Errorf("%d failed with %v", n, code)
		}
	}
	if l.refused == 0 {
		s.Errorf("nothing was refused: the broker wasn't halted")
	}
}

// inFlight is how long after the last use of a connection a request may still go out on it unchecked. One that does so in
// the moment of the broker's death is in flight like those before it: it may be stored, so its caller waits.
const inFlight = 200 * time.Millisecond

// Rule: while the broker is dead, for 15 s, calls fail with unavailable within 1 s, and the client is not ready; within 2 s (see back) after
// it takes connections calls succeed, and the client is ready.
func longOutage(s *system) {
	s.local(nil)
	c, _ := s.client(nil)
	if got := s.call(c, s.request(fnEcho, "x", 2*patience)); got.err != nil {
		s.Fatalf("before the outage: %v", got.err)
	}
	outage := 15 * time.Second
	if s.h.Short {
		outage = 4 * time.Second
	}
	start := s.down("Kill", s.h.Broker.Kill, s.h.Broker.Start)
	over := time.Now().Add(outage)
	time.Sleep(inFlight)
	for i := 0; time.Now().Before(over); i++ {
		if got := s.within(4*patience, s.later(c, s.request(fnEcho, "x", 3*patience))); rpc.CodeOf(got.err) != rpc.CodeUnavailable || got.took > time.Second+slack {
			s.Errorf("call %d: %v, want unavailable within 1 s", i, got)
		}
		time.Sleep(outage / 20)
	}
	s.until(backMost, "the client not to be ready", func() bool { return c.Ready() != nil })
	start()
	s.backWithin(c, backMost)
	s.until(backMost, "the client to be ready", func() bool { return c.Ready() == nil })
}

// Rule: the broker is killed and started again without any data. Calls succeed within 2 s (see back) after it takes connections, on the same
// clients and workers: streams, groups and lanes are made again by themselves. What was accepted before is lost, and nothing
// that is accepted afterwards.
func brokerEmptied(s *system) {
	s.local(nil)
	c, _ := s.client(nil)
	l := s.startLoad(c, 8, patience/5)
	time.Sleep(s.d(patience / 10))
	start := s.down("Kill", s.h.Broker.Kill, s.h.Broker.StartEmpty)
	l.end() // what it sends from now on may be refused or lost
	start()
	s.backWithin(c, backMost)
	s.ledger.forget()
	s.forgiven = "the broker came back without its data"
	for i := range 50 {
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
