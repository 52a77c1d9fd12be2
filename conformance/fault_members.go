package conformance

import (
	"time"

	"github.com/streamerson/streamerson/rpc"
)

// Rule: while calls and one-way messages go on, ten workers join and leave a group of one that stays, within 30 s. No call and
// no message fails, each worker that is asked to leave ends with status 0, and nothing is lost. Where
// Stored isn't claimed, what is on its way to a worker that leaves may be lost.
func rebalanceStorm(s *system) {
	const changes, every = 10, 500 * time.Millisecond
	s.start(roleWorker, nil)
	c, _ := s.client(nil)
	l := s.startLoad(c, 8, 6*patience)
	var extra []*member
	for i := range changes {
		time.Sleep(s.d(every))
		if i%3 == 2 { // two join, one leaves
			s.leaves(extra[0])
			extra = extra[1:]
			continue
		}
		extra = append(extra, s.start(roleWorker, nil))
	}
	for _, m := range extra {
		s.leaves(m)
	}
	time.Sleep(s.d(every))
	l.end()
	s.Logf("%v", l)
	if !s.caps.Stored {
		s.loses(leavingLoses)
		return
	}
	if l.refused > 0 || l.good == 0 {
		s.Errorf("while workers came and went: %v", l)
	}
}

// leavingLoses is what a transport without Stored does when a worker leaves in an orderly way.
const leavingLoses = "Stored isn't claimed: what is on its way to a worker that leaves may be lost"

// leaves asks a member to end, which must be in an orderly way.
func (s *system) leaves(m *member) {
	s.Helper()
	if status := m.terminate(4 * patience); status != 0 {
		s.Errorf("%s ended with status %d: %s", m.name, status, m.proc.stderr.String())
	}
}

// Rule: a process with a client (a gateway) is killed with 20 calls being handled. All 20 come to their end at the worker, once, and
// are settled; a new one gets its own answers to 200 calls, and reads no reply that isn't for one of its calls.
func gatewayKilled(s *system) {
	s.once = true
	s.start(roleWorker, nil)
	const old, fresh = 20, 200
	first := s.start(roleCaller, func(c *childConfig) {
		c.Caller.Calls, c.Caller.Function, c.Caller.Prefix, c.Caller.Takes = old, fnEffect, "old", int(s.d(patience/5).Milliseconds())
	})
	s.until(2*patience, "all to begin", func() bool { begun, _ := s.ledger.totals(); return begun == old })
	first.kill()
	if _, codes := first.answered(); len(codes) > 0 {
		s.Errorf("the gateway was killed too late: it had answers")
	}
	second := s.start(roleCaller, func(c *childConfig) { c.Caller.Calls, c.Caller.Function, c.Caller.Prefix = fresh, fnEffect, "new" })
	s.until(4*patience, "the new gateway's answers", func() bool { _, codes := second.answered(); return len(codes) == fresh })
	s.until(2*patience, "the old calls to end", func() bool { _, ended := s.ledger.totals(); return ended == old+fresh })
	s.allAnswered(second)
	if n := second.seen.sum("reply-"); n != 0 {
		s.Errorf("the new gateway read foreign replies: %v", second.seen.String())
	}
	s.drained()
	if bad := s.ledger.repeated(); len(bad) > 0 {
		s.Errorf("ran more than once: %v", bad)
	}
	s.leaves(second)
}

// allAnswered checks that every call of a caller that has ended them succeeded.
func (s *system) allAnswered(m *member) {
	s.Helper()
	asked, codes := m.answered()
	if asked == 0 || len(codes) != asked {
		s.Errorf("%s made %d calls, and %d came to an end", m.name, asked, len(codes))
	}
	for name, code := range codes {
		if code == rpc.CodeDeadlineExceeded.String() && s.forgiven != "" {
			continue
		}
		if code != rpc.CodeOK.String() {
			s.Errorf("%s: call %s: %s", m.name, name, code)
		}
	}
}

// Rule: two workers and two processes with clients, which call all the time, are replaced by new ones, one after the other
// (the new one first, then SIGTERM to the old one). No call fails, and all end with status 0. Where Stored isn't claimed, a call
// that is on its way to a worker that leaves may end at its deadline.
func rollingRestart(s *system) {
	worker := func() *member { return s.start(roleWorker, nil) }
	caller := func() *member {
		return s.start(roleCaller, func(c *childConfig) {
			c.Caller.Calls, c.Caller.Steady, c.Caller.Function, c.Caller.Takes = 4, true, fnEffect, 5
			c.Caller.Prefix, c.Caller.Timeout = c.Name, s.d(3*patience)
		})
	}
	workers, callers := []*member{worker(), worker()}, []*member{caller(), caller()}
	for i := range workers {
		for _, turn := range []struct {
			old   *member
			start func() *member
		}{{workers[i], worker}, {callers[i], caller}} {
			next := turn.start()
			time.Sleep(s.d(patience / 20))
			s.leaves(turn.old)
			if next.name[:6] == roleCaller {
				callers = append(callers, next)
			}
		}
	}
	time.Sleep(s.d(patience / 20))
	if !s.caps.Stored {
		s.loses(leavingLoses)
	}
	for i, m := range callers {
		if i >= 2 {
			s.leaves(m)
		}
		s.allAnswered(m)
	}
	_, ended := s.ledger.totals()
	s.Logf("%d calls", ended)
}
