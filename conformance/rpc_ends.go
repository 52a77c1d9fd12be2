package conformance

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

// millis is a duration, scaled, as the body of a request has it.
func (s *system) millis(d time.Duration) string {
	return strconv.FormatInt(s.d(d).Milliseconds(), 10)
}

// farOff is a deadline that no scenario meets, as an envelope has it.
func farOff() (deadline int64, budget uint32) {
	const far = 5 * time.Minute
	return time.Now().Add(far).UnixMilli(), uint32(far.Milliseconds())
}

// Rule: calls that wait while the only worker is busy end at their deadline with deadline exceeded, none of them runs later, and
// each is counted as expired; the long call that kept the worker busy is answered. (Without BrokerTime they only end.)
func expiredUnrun(s *system) {
	s.once = true
	w := s.local(func(c *childConfig) { c.Worker.Slots = 1 })
	c, _ := s.client(nil)
	const short, waiting = patience / 10, 20
	busy := s.later(c, s.request(fnEffect, "long "+s.millis(4*short), 2*patience))
	s.until(patience, "the long request to begin", func() bool { return s.ledger.beganTimes("long") == 1 })
	var all []<-chan answer
	for i := range waiting {
		all = append(all, s.later(c, s.request(fnEffect, "short"+itoa(i), short)))
	}
	for i, a := range all {
		if got := s.within(short, a); rpc.CodeOf(got.err) != rpc.CodeDeadlineExceeded {
			s.Errorf("call %d: %v, want deadline exceeded", i, got)
		}
	}
	if !s.caps.BrokerTime {
		s.until(2*patience, "the short calls to run or to be dropped", func() bool {
			begun, _ := s.ledger.totals()
			return begun+w.seen.get("expired-deadline") == waiting+1
		})
		s.refused("BrokerTime isn't claimed: how long a request has waited is known by two machines' clocks only, and 5 s between those are allowed for")
		return
	}
	if got := s.within(2*patience, busy); got.err != nil {
		s.Errorf("the long call: %v", got.err)
	}
	s.drained()
	if begun, _ := s.ledger.totals(); begun != 1 {
		s.Errorf("%d requests ran, want the long one only", begun)
	}
	w.await("expired-deadline", waiting, patience)
}

// Rule: what a handler returns as an error comes to the caller as that, with its code, its text and its origin; a plain error
// and a panic are internal errors; a function that nobody has is unimplemented; the worker serves on after each.
func handlerErrors(s *system) {
	s.local(nil)
	c, _ := s.client(nil)
	for function, want := range map[string]*rpc.Error{
		fnFail:    {Code: rpc.CodeFailedPrecondition, Origin: rpc.OriginHandler, Message: "on purpose"},
		fnPlain:   {Code: rpc.CodeInternal, Origin: rpc.OriginHandler, Message: "permission denied"},
		fnPanic:   {Code: rpc.CodeInternal, Origin: rpc.OriginRuntime, Message: "the handler panicked"},
		"missing": {Code: rpc.CodeUnimplemented, Origin: rpc.OriginRuntime, Message: `no handler for function "missing" on stream ` + s.stream},
	} {
		_, err := c.Call(context.Background(), s.request(function, "x", 2*patience))
		if got, ok := errors.AsType[*rpc.Error](err); !ok || got.Code != want.Code || got.Origin != want.Origin || got.Message != want.Message {
			s.Errorf("%s: got %+v, want %+v", function, err, want)
		}
		if got := s.call(c, s.request(fnEcho, "alive", 2*patience)); got.err != nil {
			s.Errorf("after %s: %v", function, got.err)
		}
	}
}

// Rule: a one-way message whose handler fails is tried again after each retry delay, and is then a dead letter with cause
// "failed", the handler's error and the number of attempts. A transport without Release gives it up at once or tells so.
func failingOneWay(s *system) {
	s.local(func(c *childConfig) {
		c.Worker.RetryDelays = []time.Duration{s.d(50 * time.Millisecond), s.d(100 * time.Millisecond)}
	})
	c, _ := s.client(nil)
	if err := s.send(c, s.request(fnFail, "bad", 0)); err != nil {
		s.Fatalf("send: %v", err)
	}
	if !s.caps.Release {
		s.refused("Release isn't claimed: a failed one-way message has one attempt")
	}
	s.until(2*patience, "the dead letter", func() bool { return len(s.deadLetters()) > 0 })
	want := "3"
	if !s.caps.Release {
		want = "1"
	}
	h := s.deadLetters()[0].Header
	if h.Get(rpc.DeadHeaderCause) != string(rpc.DeadFailed) || h.Get(rpc.DeadHeaderAttempts) != want || h.Get(rpc.DeadHeaderError) == "" {
		s.Errorf("dead letter %v, want cause %s after %s attempts", h, rpc.DeadFailed, want)
	}
}

// Rule: where LiveConsumers is claimed, a call to a stream without workers fails with unavailable and "not published" within 1 s,
// where it isn't at its deadline; a worker that comes is used within 1 s; after it has left calls fail as before.
func noWorkers(s *system) {
	c, _ := s.client(func(cfg *rpc.ClientConfig) { cfg.NoWorkerWait = 0 })
	refused := func(when string) {
		s.Helper()
		const timeout = 2 * patience
		got := s.within(timeout, s.later(c, s.request(fnEcho, "x", timeout)))
		e, ok := errors.AsType[*rpc.Error](got.err)
		switch {
		case !s.caps.LiveConsumers:
			if rpc.CodeOf(got.err) != rpc.CodeDeadlineExceeded {
				s.Errorf("%s: %v, want deadline exceeded", when, got)
			}
		case !ok || e.Code != rpc.CodeUnavailable || e.Published != transport.OutcomeRejected || e.RetryAfter == 0:
			s.Errorf("%s: %v, want unavailable, not published, with a hint when to come again", when, got)
		case got.took > s.d(time.Second)+slack:
			s.Errorf("%s: refused after %v", when, got.took)
		}
	}
	refused("before any worker")
	w := s.local(nil)
	s.until(time.Second, "the new worker to be used", func() bool { return s.call(c, s.request(fnEcho, "x", patience)).err == nil })
	w.end()
	if s.caps.LiveConsumers {
		s.until(2*patience, "the worker to be gone", func() bool {
			l, err := s.admin.Lag(context.Background(), s.stream, rpc.DefaultGroup)
			return transport.IsCode(err, transport.CodeNotFound) || err == nil && l.Consumers == 0
		})
		time.Sleep(s.d(time.Second)) // a client looks from time to time
	}
	refused("after the worker had left")
	if !s.caps.LiveConsumers {
		s.local(nil) // what nobody served is expired, and has to be settled
		s.refused("LiveConsumers isn't claimed: a call that nobody serves ends at its deadline")
	}
}

// Rule: when a caller stops waiting, the context of its handler ends within 2 s, with the cause that the caller has gone; the request
// is settled, and the client serves its next call.
func clientGone(s *system) {
	w := s.local(nil)
	c, _ := s.client(nil)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	s.ledger.sending("left")
	go func() {
		_, err := c.Call(ctx, s.request(fnWatch, "left "+s.millis(8*patience), 8*patience))
		done <- err
	}()
	s.until(patience, "the call to begin", func() bool { return s.ledger.beganTimes("left") == 1 })
	cancel()
	if err := <-done; rpc.CodeOf(err) != rpc.CodeCanceled {
		s.Errorf("the cancelled call gave %v", err)
	}
	w.await("cause-"+rpc.ErrCallerGone.Error(), 1, 2*time.Second)
	s.drained()
	if got := s.call(c, s.request(fnEcho, "next", 2*patience)); got.err != nil {
		s.Errorf("the next call: %v", got.err)
	}
}

// Rule: when a client is closed while its calls are being handled, its lane goes with it; the calls end with unavailable, the
// handlers come to their end, once each, and their requests are settled although nobody can read the replies, and are no dead
// letters. Another client is not disturbed.
func laneDeletedInFlight(s *system) {
	s.once = true
	s.local(nil)
	other, seen := s.client(nil)
	d, _ := s.recorded("leaving")
	c, _ := s.clientOn(d, nil)
	const calls = 20
	var all []<-chan answer
	for i := range calls {
		all = append(all, s.later(c, s.request(fnEffect, "orphan"+itoa(i)+" "+s.millis(patience/5), 4*patience)))
	}
	s.until(patience, "all to begin", func() bool { begun, _ := s.ledger.totals(); return begun == calls })
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = c.Close(ended) // it can't wait for its calls
	for i, a := range all {
		if got := s.within(patience, a); rpc.CodeOf(got.err) != rpc.CodeUnavailable {
			s.Errorf("call %d of the closed client: %v, want unavailable", i, got)
		}
	}
	s.until(2*patience, "the handlers to end", func() bool { _, ended := s.ledger.totals(); return ended == calls })
	s.drained()
	if n := len(s.deadLetters()); n != 0 {
		s.Errorf("%d dead letters", n)
	}
	if got := s.call(other, s.request(fnEcho, "other", 2*patience)); got.err != nil {
		s.Errorf("another client: %v", got.err)
	}
	if n := seen.sum("reply-"); n != 0 {
		s.Errorf("another client read foreign replies: %v", seen)
	}
}
