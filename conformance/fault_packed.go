package conformance

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/streamerson/streamerson/rpc"
)

// packedAround is how many short requests stand before the long one of a pack, and as many behind it.
const packedAround = 4

// around makes a pack of x with short requests before and behind it, and returns when x has begun, with those before it having run
// and those behind it waiting; x's answer is the first of all.
func (s *system) around(c *rpc.Client, b *bundling, x *rpc.Request, workers ...*member) (all []<-chan answer, at, other *member) {
	s.Helper()
	var rs []*rpc.Request
	for i := range packedAround {
		rs = append(rs, s.request(fnEffect, "before"+itoa(i), 0))
	}
	rs = append(rs, x)
	for i := range packedAround {
		rs = append(rs, s.request(fnEffect, "behind"+itoa(i), 0))
	}
	for _, r := range rs {
		r.Timeout = x.Timeout
	}
	all = s.packed(c, b, rs...)
	all[0], all[packedAround] = all[packedAround], all[0]
	at, other = s.holder(nameOf(x), workers...)
	for i := range packedAround {
		if at.begun.get("before"+itoa(i)) != 1 || s.ledger.beganTimes("behind"+itoa(i)) != 0 {
			s.Fatalf("the requests of a pack don't run one after the other, at one worker: %s has begun %v", at.name, at.begun.String())
		}
	}
	return all, at, other
}

// Rule: a worker is killed by kill -9 in the middle of a pack, with some of its requests run and others waiting behind. All of them are
// answered by another worker within Harness.Takeover (the lease of 1 s and 2 s without it). Where Stored isn't claimed all of
// them end at their deadlines.
func packedWorkerKilled(s *system) {
	c, _, b := s.bundler()
	v, w := s.twoWorkers(c, systemLease)
	timeout := patience
	if s.caps.Stored {
		timeout += s.takeoverBound()
	}
	all, at, other := s.around(c, b, s.request(fnStall, "x "+s.millis(time.Minute), timeout), v, w)
	at.kill()
	if !s.caps.Stored {
		for i, a := range all {
			if got := s.within(timeout, a); rpc.CodeOf(got.err) != rpc.CodeDeadlineExceeded {
				s.Errorf("call %d: %v, want deadline exceeded", i, got)
			}
		}
		s.loses(notStored)
		return
	}
	s.answeredBy(other, all)
	s.drained()
}

// answeredBy waits until all calls of around are answered, by that worker as far as answers tell, within the bound of a takeover.
func (s *system) answeredBy(m *member, all []<-chan answer) {
	s.Helper()
	began := time.Now()
	for i, a := range all {
		got := s.within(s.takeoverBound()-min(time.Since(began), s.takeoverBound()), a)
		if got.err != nil || i == 0 && string(got.resp.Body) != m.name {
			s.Fatalf("call %d: got %v, want an answer of %s", i, got, m.name)
		}
	}
	s.Logf("all answered after %v", time.Since(began))
}

// Rule: a worker is stopped (SIGSTOP) in the middle of a pack until another has taken that over, which it does within Harness.Takeover,
// and continued. Each caller gets one answer; what the stopped worker does with the pack when it goes on is dropped and counted,
// as a lost lease there or as replies that nobody waits for; it serves on. Where Stored isn't claimed the stopped one answers all
// when it goes on.
func packedWorkerStopped(s *system) {
	c, seen, b := s.bundler()
	v, w := s.twoWorkers(c, systemLease)
	all, at, other := s.around(c, b, s.request(fnStall, "x "+s.millis(patience/5), 2*patience+s.takeoverBound()), v, w)
	at.halt()
	if !s.caps.Stored {
		time.Sleep(s.d(2 * systemLease))
		at.resume()
		for i, a := range all {
			if got := s.within(2*patience, a); got.err != nil || i == 0 && string(got.resp.Body) != at.name {
				s.Errorf("call %d: got %v, want an answer of %s", i, got, at.name)
			}
		}
		s.refused("Stored isn't claimed: a pack stays with the worker that has it")
		return
	}
	s.answeredBy(other, all)
	s.goesOn(c, seen, at, other)
}

// Rule: a worker gets SIGTERM in the middle of a pack, and its time to drain ends before the pack does. The request that runs is told
// and answered by it, those before it are answered, those behind it run at another worker; each runs once, and the process
// ends with status 0. Where Stored isn't claimed, those behind may be lost.
func packedDrain(s *system) {
	s.once = true
	c, _, b := s.bundler()
	change := func(c *childConfig) { c.Worker.Drain = s.d(patience / 10) }
	v, w := s.twoWorkersWith(c, change)
	all, at, other := s.around(c, b, s.request(fnWatch, "x "+s.millis(time.Minute), 4*patience), v, w)
	if err := at.proc.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.Fatalf("SIGTERM to %s: %v", at.name, err)
	}
	for i, a := range all {
		got := s.within(4*patience, a)
		if i > packedAround && !s.caps.Stored && rpc.CodeOf(got.err) == rpc.CodeDeadlineExceeded {
			s.loses(leavingLoses)
		} else if got.err != nil {
			s.Errorf("call %d: %v", i, got)
		}
	}
	if status := at.status(4 * patience); status != 0 {
		s.Errorf("the worker ended with status %d", status)
	}
	if n := other.begun.sum("behind"); n != packedAround && s.forgiven == "" {
		s.Errorf("%d of %d requests that waited ran at the other worker", n, packedAround)
	}
	s.drained()
	if bad := s.ledger.repeated(); len(bad) > 0 {
		s.Errorf("ran more than once: %v", bad)
	}
}

// Rule: the broker is killed (kill -9) while calls to a quick function share messages, and started again half a second later. Calls
// succeed within 2 s (see back) after it takes connections; what was accepted runs, unless Durability is less than
// process-crash; and messages were shared before and are afterwards.
func packedBrokerKilled(s *system) {
	s.volatile()
	s.local(nil)
	s.local(nil)
	c, seen := s.client(nil)
	ctx, stop := context.WithCancel(context.Background())
	var good, bad atomic.Int64
	var calls sync.WaitGroup
	const callers = 32
	for g := range callers {
		calls.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				r := s.request(fnEffect, fmt.Sprintf("%d.%d", g, i), patience/2)
				r.Pack = true
				if got := s.call(c, r); got.err == nil {
					good.Add(1)
				} else {
					bad.Add(1)
					time.Sleep(10 * callerPause)
				}
			}
		})
	}
	s.atEnd(func() { stop(); calls.Wait() })
	shared := func(when string) {
		s.Helper()
		n, m := good.Load(), seen.get("batched-publish")
		s.until(2*patience, "messages to be shared "+when, func() bool {
			return good.Load()-n > int64(seen.get("batched-publish")-m)+2*callers // more than may have been on their way
		})
	}
	shared("before")
	start := s.down("Kill", s.h.Broker.Kill, s.h.Broker.Start)
	time.Sleep(s.d(patience / 10))
	start()
	s.backWithin(c, backMost)
	shared("afterwards")
	stop()
	calls.Wait()
	s.Logf("%d calls succeeded, %d failed; %d messages", good.Load(), bad.Load(), seen.get("batched-publish"))
}

// Rule: of a pack with a request that ends its worker's process each time, and a supervisor starts another, only that request becomes a
// dead letter, with cause "crashes" after the attempts that workers allow a request alone (5; 3 where a takeover takes longer than
// 3 s), and only its caller is told that it was given up; the others are answered. A transport that doesn't claim Stored loses
// the pack with its first worker.
func packedPoison(s *system) {
	sup := s.supervisor()
	attempts := sup.attempts
	d, r := s.recorded("bundler")
	b := &bundling{Driver: d}
	c, _ := s.clientOn(b, func(cfg *rpc.ClientConfig) { cfg.NoWorkerWait = s.d(2 * patience); r.Client(cfg) })
	sup.start()
	timeout := patience
	if s.caps.Stored {
		timeout = time.Duration(attempts+2)*(s.takeoverBound()+patience/2) + 2*patience
	}
	var rs []*rpc.Request
	for i := range 2 * packedAround {
		rs = append(rs, s.request(fnEffect, "good"+itoa(i), timeout))
	}
	rs[packedAround] = s.request(fnCrash, "poison", timeout)
	all := s.packed(c, b, rs...)
	crashes := sup.until(all[packedAround], timeout, attempts+1)
	if !s.caps.Stored {
		s.loses(notStored)
		return
	}
	s.Logf("%d crashes", crashes)
	for i, a := range all {
		if i == packedAround {
			continue
		}
		if got := s.within(timeout, a); got.err != nil || string(got.resp.Body) != "good"+itoa(i) {
			s.Errorf("good call %d: %v", i, got)
		}
	}
	s.until(patience, "the dead letter", func() bool { return len(s.deadLetters()) > 0 })
	s.drained()
	sup.deadLetters()
	if n := len(s.deadLetters()); n != 1 || crashes != attempts+1 {
		s.Errorf("%d dead letters after %d crashes, want 1 after %d: once in the pack, and %d times by itself", n, crashes, attempts+1, attempts)
	}
}
