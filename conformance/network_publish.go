package conformance

import (
	"errors"
	"time"

	"github.com/streamerson/streamerson/conformance/proxy"
	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

// strikes is how many publishes of each kind are struck.
const strikes = 5

// Rule: the broker's answer to a publish is lost with the connection, five times for a call and five for a one-way message. All
// are stored, so each runs, once and once only; a one-way message is reported as accepted or as unknown, and so is a call that
// doesn't get its reply (lanes that live in a connection lose what comes in that moment), at its deadline at the latest.
func publishAnswerLost(s *system) {
	s.once, s.storedOnce = true, true
	s.local(nil)
	p := s.hop()
	c, _ := s.clientVia(p)
	s.struck(c, p, proxy.LoseAnswer)
	s.until(2*patience, "all that was stored to run", func() bool {
		for i := range strikes {
			if s.ledger.beganTimes("call"+itoa(i)) == 0 || s.ledger.beganTimes("send"+itoa(i)) == 0 {
				return false
			}
		}
		return true
	})
}

// Rule: the connection is reset before the broker has seen anything of a publish, and in the middle of one. Each call ends by its
// deadline, each one-way message by the driver's time limit; none is reported as accepted and then missing, none runs twice, and
// no half of a message is delivered. After each the next call succeeds.
func publishCut(s *system) {
	s.once, s.storedOnce = true, true
	s.local(nil)
	p := s.hop()
	c, _ := s.clientVia(p)
	s.struck(c, p, proxy.CutMessage, proxy.LoseMessage)
	if dead := s.deadLetters(); len(dead) > 0 {
		s.Errorf("%d dead letters, the first of %d bytes: a part of a message was delivered", len(dead), len(dead[0].Frame))
	}
}

// struck makes calls and sends one-way messages whose publish is struck, and a good call after each.
func (s *system) struck(c *rpc.Client, p *proxy.Proxy, kinds ...proxy.Strike) {
	s.Helper()
	const timeout = patience / 4
	answered, accepted := 0, 0
	for i := range strikes {
		kind := kinds[i%len(kinds)]
		name := "call" + itoa(i)
		p.Arm(name, kind)
		got := s.within(timeout, s.later(c, s.request(fnEffect, name, timeout)))
		if got.err == nil {
			answered++
		} else {
			s.maybe(name, got.err, kind)
		}
		s.backWithin(c, back)
		name = "send" + itoa(i)
		p.Arm(name, kind)
		if err := s.send(c, s.request(fnEffect, name, 0)); err == nil {
			accepted++
		} else {
			s.maybe(name, err, kind)
		}
		s.backWithin(c, back)
	}
	if n := p.Struck(); n != 2*strikes {
		s.Errorf("the proxy struck %d times, want %d", n, 2*strikes)
	}
	s.Logf("of %d each, %d calls were answered and %d messages reported as accepted", strikes, answered, accepted)
}

// maybe checks how a request failed whose publish was struck.
func (s *system) maybe(name string, err error, kind proxy.Strike) {
	s.Helper()
	e, ok := errors.AsType[*rpc.Error](err)
	switch {
	case !ok:
		s.Errorf("%s: %v is no *rpc.Error", name, err)
	case kind == proxy.LoseAnswer && e.Published == transport.OutcomeRejected:
		s.Errorf("%s: %v: called rejected, and it is stored", name, err)
	case kind != proxy.LoseAnswer && e.Published == transport.OutcomeAccepted:
		s.Errorf("%s: %v: called accepted, and the broker never saw it", name, err)
	case e.Code != rpc.CodeUnavailable && e.Code != rpc.CodeDeadlineExceeded:
		s.Errorf("%s: %v, want unavailable or deadline exceeded", name, err)
	}
}

// cutBound is how long a client that is cut off may take to say so.
const cutBound = time.Second
