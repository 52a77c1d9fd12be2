package conformance

import (
	"sync"

	"github.com/streamerson/streamerson/transport"
)

// told is what one late outcome was, and how often it was told.
type told struct {
	mu sync.Mutex
	rs []transport.Result
}

func (t *told) Told(r transport.Result) {
	t.mu.Lock()
	t.rs = append(t.rs, r)
	t.mu.Unlock()
}

func (t *told) times() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.rs)
}

// late publishes m late, and spoils it at once. nil means that the driver left that to Publish.
func (e *Env) late(p transport.LatePublisher, m transport.Message) *told {
	e.Helper()
	t := &told{}
	body := append([]byte(nil), m.Body...)
	m.Body = body
	sent := p.PublishLate(&m, t)
	clear(body)
	if !sent {
		if t.times() > 0 {
			e.Errorf("PublishLate reports false, and told an outcome")
		}
		return nil
	}
	return t
}

// outcome waits for what is told, which must be well formed and told once.
func (e *Env) outcome(t *told) transport.Result {
	e.Helper()
	e.eventually(func() bool { return t.times() > 0 }, func() string { return "a late outcome was not told" })
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.rs[0]
	if len(t.rs) > 1 {
		e.Errorf("a late outcome was told %d times: %v", len(t.rs), t.rs)
	}
	if (r.Outcome == transport.OutcomeAccepted) != (r.Err == nil) {
		e.Errorf("late outcome %v with error %v", r.Outcome, r.Err)
	}
	e.typed(r.Err)
	return r
}

// Rule: where the driver is a LatePublisher, what is published late to a lane arrives byte for byte, in order with what Publish
// sends in between, and each outcome is told once: accepted, or rejected with CodeNotFound for a lane that is gone, whatever
// else was published before and after. Where a request is taken late, it is accepted when somebody serves the stream, and
// rejected when nobody does and nothing is stored. When Close has returned all is told; a closed driver takes nothing.
func publishLate(e *Env) {
	d := e.open()
	p, ok := d.(transport.LatePublisher)
	if !ok {
		e.refused("the driver is no transport.LatePublisher")
		return
	}
	here, gone := e.tail(e.open(), transport.TailSpec{Name: "here"}), e.tail(d, transport.TailSpec{Name: "gone"})
	e.closeLane(gone)
	want := awkward()
	for round := range 3 {
		var good, bad []*told
		for i, body := range want {
			m := transport.Message{Stream: here.Address(), Lane: true, Body: []byte(body)}
			if t := e.late(p, m); t != nil {
				good = append(good, t)
			} else {
				e.send(d, m)
			}
			if i%3 == round {
				if t := e.late(p, transport.Message{Stream: gone.Address(), Lane: true, Body: []byte("x")}); t != nil {
					bad = append(bad, t)
				}
			}
		}
		e.send(d, transport.Message{Stream: here.Address(), Lane: true, Body: []byte("between")})
		if diff := difference(e.read(here, len(want)+1), append(append([]string(nil), want...), "between")); diff != "" {
			e.Errorf("lane: %s", diff)
		}
		for _, t := range good {
			if r := e.outcome(t); r.Outcome != transport.OutcomeAccepted {
				e.Errorf("late to a lane that is read: %v with %v, want accepted", r.Outcome, r.Err)
			}
		}
		for _, t := range bad {
			if r := e.outcome(t); r.Outcome != transport.OutcomeRejected || !transport.IsCode(r.Err, transport.CodeNotFound) {
				e.Errorf("late to a lane that is gone: %v with %v, want rejected with not-found", r.Outcome, r.Err)
			}
		}
		for _, t := range append(good, bad...) {
			e.outcome(t) // nothing was told again
		}
	}
	lateRequests(e, d, p)
	lateClose(e, here)
}

func lateRequests(e *Env, d transport.Driver, p transport.LatePublisher) {
	s := e.stream(d, group)
	if t := e.late(p, transport.Message{Stream: s, Body: []byte("nobody")}); t != nil && !d.Capabilities().Stored {
		if r := e.outcome(t); r.Outcome != transport.OutcomeRejected || !transport.IsCode(r.Err, transport.CodeUnavailable) {
			e.Errorf("late to a stream that nobody serves: %v with %v, want rejected with unavailable", r.Outcome, r.Err)
		}
	}
	s = e.stream(d, group)
	c := e.join(d, group, longLease)
	if t := e.late(p, transport.Message{Stream: s, Body: []byte("x")}); t != nil {
		if r := e.outcome(t); r.Outcome != transport.OutcomeAccepted {
			e.Errorf("late to a stream that is served: %v with %v, want accepted", r.Outcome, r.Err)
		}
		e.ack(c, e.receive(c, 1, s)...)
	}
}

func lateClose(e *Env, here transport.Tailer) {
	other := e.open()
	p := other.(transport.LatePublisher)
	t := e.late(p, transport.Message{Stream: here.Address(), Lane: true, Body: []byte("last")})
	ctx, cancel := e.ctx(patience)
	defer cancel()
	if err := other.Close(ctx); err != nil {
		e.Errorf("close: %v", err)
	}
	if t != nil {
		if t.times() != 1 {
			e.Errorf("when Close had returned a late outcome had been told %d times", t.times())
		}
		if got := e.read(here, 1); len(got) != 1 || got[0] != "last" {
			e.Errorf("what was published late before Close: got %q", got)
		}
	}
	if e.late(p, transport.Message{Stream: here.Address(), Lane: true, Body: []byte("x")}) != nil {
		e.Errorf("a closed driver took a message")
	}
}

// Rule: where consumers are LateSettlers, a reply that is settled late arrives and its delivery is acked; with a reply to a lane
// that is gone the outcome is CodeNotFound, told once, and the delivery is not acked: it can be settled again.
func settleLate(e *Env) {
	d := e.open()
	s := e.stream(d, group)
	c := e.join(d, group, longLease)
	l, ok := c.(transport.LateSettler)
	if !ok {
		e.refused("consumers are no transport.LateSettlers")
		return
	}
	here, gone := e.tail(e.open(), transport.TailSpec{Name: "here"}), e.tail(d, transport.TailSpec{Name: "gone"})
	e.closeLane(gone)
	e.publish(d, s, "a", "b")
	x := e.receive(c, 2, s)
	settle := func(x *transport.Delivery, lane transport.Tailer, body string) *told {
		t := &told{}
		reply := transport.Message{Stream: lane.Address(), Lane: true, Body: []byte(body)}
		if !l.SettleLate(&transport.Settlement{Delivery: x, Verb: transport.Ack, Reply: &reply}, t) {
			e.Fatalf("a LateSettler took no lone reply")
		}
		clear(reply.Body)
		return t
	}
	if r := e.outcome(settle(&x[0], here, "one")); r.Err != nil {
		e.Errorf("settling late: %v", r.Err)
	}
	e.wantCode("settling late with a reply to a lane that is gone", e.outcome(settle(&x[1], gone, "lost")).Err, transport.CodeNotFound)
	if d.Capabilities().Stored {
		e.pending(d, s, group, 1)
	}
	if r := e.outcome(settle(&x[1], here, "two")); r.Err != nil {
		e.Errorf("settling late again: %v", r.Err)
	}
	if diff := difference(e.read(here, 2), []string{"one", "two"}); diff != "" {
		e.Errorf("replies: %s", diff)
	}
	if d.Capabilities().Stored {
		e.pending(d, s, group, 0)
	}
}
