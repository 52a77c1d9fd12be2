package conformance

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/streamerson/streamerson/rpc"
)

// holder waits until the request with that name has begun at one of the members, and returns that one and the first of the others.
func (s *system) holder(name string, members ...*member) (at, other *member) {
	s.Helper()
	s.until(2*patience, "the request "+name+" to begin", func() bool {
		at, other = nil, nil
		for _, m := range members {
			if m.begun.get(name) > 0 {
				at = m
			} else {
				other = m
			}
		}
		return at != nil && other != nil
	})
	return at, other
}

// twoWorkers starts two and returns when both have handled requests: where a group shares out parts of its streams, that has been
// done then, and goes on undisturbed.
func (s *system) twoWorkers(c *rpc.Client, lease time.Duration) (a, b *member) {
	s.Helper()
	return s.twoWorkersWith(c, func(c *childConfig) { c.Worker.Lease = s.d(lease) })
}

// twoWorkersWith is twoWorkers for what else a scenario changes.
func (s *system) twoWorkersWith(c *rpc.Client, change func(*childConfig)) (a, b *member) {
	s.Helper()
	a, b = s.start(roleWorker, change), s.start(roleWorker, change)
	rounds := 0
	s.until(4*patience, "both workers to serve", func() bool {
		var all []<-chan answer
		for i := range a.slots + 8 { // one alone can't take them all at once
			all = append(all, s.later(c, s.request(fnEffect, fmt.Sprintf("warm%d.%d 20", rounds, i), 2*patience)))
		}
		rounds++
		for _, w := range all {
			if got := s.within(2*patience, w); got.err != nil {
				s.Fatalf("before any fault: %v", got.err)
			}
		}
		return a.begun.sum("warm") > 0 && b.begun.sum("warm") > 0
	})
	s.ledger.reset()
	return a, b
}

// notStored is what a transport without Stored does when a worker goes that holds a request.
const notStored = "Stored isn't claimed: a request ends with the worker that holds it, and its caller finds out at its deadline"

// Rule: a call whose worker is killed by kill -9 while it handles it is answered by another worker within Harness.Takeover (the
// lease of 1 s and 2 s without it). Once that one was killed as well, and where LiveConsumers is claimed, they count as gone within
// the same time, and a call fails within 1 s. A transport that doesn't claim Stored lets the call end at its deadline.
func workerKilled(s *system) {
	c, _ := s.client(nil)
	a, b := s.twoWorkers(c, systemLease)
	timeout := patience
	if s.caps.Stored {
		timeout += s.takeoverBound()
	}
	called := s.later(c, s.request(fnStall, "x "+s.millis(time.Minute), timeout))
	at, other := s.holder("x", a, b)
	at.kill()
	if !s.caps.Stored {
		if got := s.within(timeout, called); rpc.CodeOf(got.err) != rpc.CodeDeadlineExceeded {
			s.Errorf("got %v, want deadline exceeded", got)
		}
		s.loses(notStored)
		return
	}
	got := s.within(s.takeoverBound(), called)
	if got.err != nil || string(got.resp.Body) != other.name {
		s.Fatalf("got %v, want an answer of %s", got, other.name)
	}
	s.Logf("answered after %v", got.took)
	s.drained()
	if !s.caps.LiveConsumers {
		return
	}
	other.kill()
	s.until(s.takeoverBound(), "the killed workers to count as gone", func() bool {
		l, err := s.admin.Lag(context.Background(), s.stream, rpc.DefaultGroup)
		return err == nil && l.Consumers == 0
	})
	c, _ = s.client(func(cfg *rpc.ClientConfig) { cfg.NoWorkerWait = 0 })
	if got := s.call(c, s.request(fnEcho, "x", 2*patience)); rpc.CodeOf(got.err) != rpc.CodeUnavailable || got.took > s.d(time.Second)+slack {
		s.Errorf("with no worker left: %v, want unavailable within 1 s", got)
	}
}

// Rule: 20 one-way messages, one of whose two workers is killed while it handles them, all come to their end within
// Harness.Takeover and the time that they take. A transport that doesn't claim Stored loses those that the dead worker held,
// and no others.
func oneWayOutlivesWorker(s *system) {
	c, _ := s.client(nil)
	a, b := s.twoWorkers(c, systemLease)
	const n, takes = 20, patience / 4
	for i := range n {
		if err := s.send(c, s.request(fnEffect, "m"+itoa(i)+" "+s.millis(takes), 0)); err != nil {
			s.Fatalf("send %d: %v", i, err)
		}
	}
	s.until(patience, "all to begin", func() bool { begun, _ := s.ledger.totals(); return begun == n })
	if a.begun.sum("m") < b.begun.sum("m") {
		a = b
	}
	a.kill()
	held := a.begun.sum("m")
	if !s.caps.Stored {
		s.until(patience+takes, "the other worker's to end", func() bool { _, ended := s.ledger.totals(); return ended >= n-held })
		s.loses(notStored)
		return
	}
	s.until(s.takeoverBound()+takes, "all to end", func() bool { _, ended := s.ledger.totals(); return ended == n })
}

// Rule: a worker is stopped (SIGSTOP) in the middle of a request until another has taken that over, which it does within
// Harness.Takeover, and continued. The caller gets that one answer; the stopped worker's own end is dropped and counted, as a lost
// lease there or as a duplicate reply at the caller; the worker serves on. A transport that doesn't claim Stored gives nothing to
// another worker: the stopped one answers when it goes on.
func workerStopped(s *system) {
	c, seen := s.client(nil)
	a, b := s.twoWorkers(c, systemLease)
	called := s.later(c, s.request(fnStall, "x "+s.millis(patience/5), 2*patience+s.takeoverBound()))
	at, other := s.holder("x", a, b)
	at.halt()
	if !s.caps.Stored {
		time.Sleep(s.d(2 * systemLease))
		at.resume()
		if got := s.within(2*patience, called); got.err != nil || string(got.resp.Body) != at.name {
			s.Errorf("got %v, want an answer of %s", got, at.name)
		}
		s.refused("Stored isn't claimed: a request stays with the worker that has it")
		return
	}
	got := s.within(s.takeoverBound(), called)
	if got.err != nil || string(got.resp.Body) != other.name {
		s.Fatalf("got %v, want an answer of %s", got, other.name)
	}
	s.goesOn(c, seen, at, other)
}

// goesOn continues the worker at, whose requests other has answered: its own end of them is dropped and counted, and it serves on alone.
func (s *system) goesOn(c *rpc.Client, seen *counts, at, other *member) {
	s.Helper()
	at.resume()
	s.until(2*patience, "the late end to be counted", func() bool { return at.seen.get("lease-lost")+seen.get("reply-duplicate") > 0 })
	s.drained()
	if n := seen.get("reply-unknown") + seen.get("reply-bad"); n != 0 {
		s.Errorf("the caller saw foreign replies: %v", seen)
	}
	if status := other.terminate(2 * patience); status != 0 {
		s.Errorf("the other worker ended with status %d", status)
	}
	if got := s.call(c, s.request(fnEcho, "x", 3*patience)); got.err != nil {
		s.Errorf("the worker that was stopped doesn't serve any more: %v", got.err)
	}
}

// Rule: handlers that take three times as long as a silent worker keeps its requests (its lease of 2 s; or Harness.Takeover without its 2 s)
// run once each, with two workers to compete for them.
func longHandler(s *system) {
	s.once = true
	c, _ := s.client(nil)
	const lease = 2 * systemLease
	s.twoWorkers(c, lease)
	takes := 3 * max(lease, time.Duration(float64(s.h.Takeover-2*time.Second)/s.h.Slow)) // a transport's own session doesn't grow with Slow
	if s.h.Short {
		takes /= 2
	}
	var all []<-chan answer
	for i := range 8 {
		all = append(all, s.later(c, s.request(fnEffect, itoa(i)+" "+s.millis(takes), takes+4*patience)))
	}
	for i, a := range all {
		if got := s.within(takes+4*patience, a); got.err != nil || string(got.resp.Body) != itoa(i) {
			s.Errorf("call %d: %v", i, got)
		}
	}
	s.drained()
	if bad := s.ledger.repeated(); len(bad) > 0 {
		s.Errorf("ran more than once: %v", bad)
	}
}

// Rule: of two workers that handle 8 calls one gets SIGTERM. It answers what it has and ends with status 0; calls that are made
// meanwhile are answered as well (where Stored isn't claimed, what is on its way to the one that leaves may be lost); each ran once.
func workerDrains(s *system) {
	s.once = true
	c, _ := s.client(nil)
	first, second := s.twoWorkers(c, steadyLease)
	var all []<-chan answer
	for i := range 8 {
		all = append(all, s.later(c, s.request(fnEffect, "old"+itoa(i)+" "+s.millis(patience/4), 4*patience)))
	}
	s.until(patience, "all to begin", func() bool { begun, _ := s.ledger.totals(); return begun == 8 })
	if first.begun.sum("old") < second.begun.sum("old") {
		first = second
	}
	if err := first.proc.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.Fatalf("SIGTERM to %s: %v", first.name, err)
	}
	for i := range 8 {
		all = append(all, s.later(c, s.request(fnEffect, "new"+itoa(i), 3*patience)))
	}
	for i, a := range all {
		got := s.within(4*patience, a)
		if i >= 8 && !s.caps.Stored && rpc.CodeOf(got.err) == rpc.CodeDeadlineExceeded {
			s.loses(leavingLoses)
		} else if got.err != nil {
			s.Errorf("call %d: %v", i, got)
		}
	}
	if status := first.status(4 * patience); status != 0 {
		s.Errorf("the worker ended with status %d", status)
	}
	s.drained()
	if bad := s.ledger.repeated(); len(bad) > 0 {
		s.Errorf("ran more than once: %v", bad)
	}
}

// Rule: a request whose handler ends its worker's process each time, and a supervisor starts another, is a dead letter with cause
// "crashes" after the attempts that the workers allow (5; 3 where a takeover takes longer than 3 s), and its caller is told that
// it was given up; other requests are served on the way. A transport that doesn't claim Stored loses it with its first worker.
func crashPoison(s *system) {
	sup := s.supervisor()
	attempts := sup.attempts
	c, _ := s.client(func(cfg *rpc.ClientConfig) { cfg.NoWorkerWait = s.d(2 * patience) })
	sup.start()
	timeout := patience
	if s.caps.Stored {
		timeout = time.Duration(attempts+1)*(s.takeoverBound()+patience/2) + 2*patience
	}
	poison := s.later(c, s.request(fnCrash, "poison", timeout))
	crashes, good := sup.until(poison, timeout, attempts), 0
	if !s.caps.Stored {
		s.loses(notStored)
		return
	}
	if crashes != attempts {
		s.Errorf("%d crashes, want %d", crashes, attempts)
	}
	s.until(patience, "the dead letter", func() bool { return len(s.deadLetters()) > 0 })
	sup.deadLetters()
	if got := s.call(c, s.request(fnEcho, "alive", 3*patience)); got.err == nil {
		good++
	}
	if n := len(s.deadLetters()); n != 1 || good == 0 {
		s.Errorf("%d dead letters, %d good calls afterwards", n, good)
	}
}
