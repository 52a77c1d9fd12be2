package conformance

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

func needFill(e *Env) string {
	return missing("Fill and Relieve", e.h.Broker.Fill == nil || e.h.Broker.Relieve == nil)
}

// unhurried gives a worker a lease that outlasts the filling of a store, which may hold up the broker: what is run twice then is
// another scenario's.
func unhurried(cfg *childConfig) { cfg.Worker.Lease *= 10 }

// full bounds how long a call to a broker without room may take to be refused, before Harness.Slow.
const full = time.Second

// Rule: the broker has no room for more while one-way messages are being handled. New calls are refused as unavailable within 1 s,
// with a hint when to try again, and aren't stored; the messages are handled and acked all the same. Calls succeed within
// 2 s after there is room again.
func memoryFull(s *system) {
	s.once = true
	const sends = 20
	s.local(unhurried)
	c, _ := s.client(nil)
	takes := s.millis(2 * time.Second)
	for i := range sends {
		if err := s.send(c, s.request(fnEffect, "way"+itoa(i)+" "+takes, 0)); err != nil {
			s.Fatalf("a message before there is no room: %v", err)
		}
	}
	s.until(patience, "all to begin", func() bool { begun, _ := s.ledger.totals(); return begun == sends })
	relieve := s.down("Fill", s.h.Broker.Fill, s.h.Broker.Relieve)
	for i := range 5 {
		got := s.within(4*patience, s.later(c, s.request(fnEffect, "refused"+itoa(i), 3*patience)))
		e, ok := errors.AsType[*rpc.Error](got.err)
		if !ok || e.Code != rpc.CodeUnavailable || e.RetryAfter == 0 || e.Published != transport.OutcomeRejected || got.took > s.d(full)+slack {
			s.Errorf("a call without room: %v after %v (%+v), want unavailable, rejected, within %v", got.err, got.took, e, s.d(full))
		}
	}
	s.until(2*patience, "the messages to be acked", func() bool {
		ctx, cancel := s.ctx(patience)
		defer cancel()
		l, err := s.admin.Lag(ctx, s.stream, rpc.DefaultGroup)
		_, ended := s.ledger.totals()
		return err == nil && l.Pending <= 0 && ended == sends
	})
	relieve()
	s.backWithin(c, back)
}

// Rule: the broker has no room when a call's handler returns. Its reply is never acked away: the call is answered at once, where
// lanes need no room, or stays pending and is answered within 5 s after there is room again; it ran once.
func fullBeforeReply(s *system) {
	s.once = true
	s.local(unhurried)
	c, _ := s.client(nil)
	called := s.later(c, s.request(fnEffect, "kept "+s.millis(time.Second), 12*patience))
	s.until(patience, "the call to begin", func() bool { return s.ledger.beganTimes("kept") == 1 })
	relieve := s.down("Fill", s.h.Broker.Fill, s.h.Broker.Relieve)
	s.until(2*patience, "the handler to end", func() bool { _, ended := s.ledger.totals(); return ended == 1 })
	var got answer
	answered := false
	select {
	case got = <-called:
		answered = true
	case <-time.After(s.d(2 * systemLease)):
		if l := s.lag(s.admin, s.stream, rpc.DefaultGroup); l.Pending == 0 {
			s.Errorf("nothing is pending, and the call has no answer: it was acked away")
		}
	}
	relieve()
	if !answered {
		got = s.within(comeBack, called)
	}
	if got.err != nil || string(got.resp.Body) != "kept" {
		s.Errorf("the call: %+v", got)
	}
	s.Logf("answered without room: %v", answered)
	s.backWithin(c, back)
}

// Rule: where Backlog is claimed, a stream with MaxBacklog 50 that one group reads at once and another not at all refuses more with
// CodeFull, having overshot by at most what was published within 250 ms; the second group then gets all that was accepted,
// and afterwards the stream accepts again. Where Backlog isn't claimed, Ensure refuses a MaxBacklog.
func backlogLagging(e *Env) {
	const backlog, step, pause = 50, 5, 25 * time.Millisecond
	d := e.open()
	s := e.name()
	spec := transport.StreamSpec{Stream: s, Groups: []string{group, "lagging"}, MaxBacklog: backlog}
	if !d.Capabilities().Backlog {
		ctx, cancel := e.ctx(patience)
		defer cancel()
		e.wantCode("ensuring a MaxBacklog", d.Ensure(ctx, []transport.StreamSpec{spec}), transport.CodeUnsupported)
		e.refused("Backlog isn't claimed: Ensure refuses a MaxBacklog")
		return
	}
	e.ensure(d, spec)
	quick, lagging := e.join(d, group, longLease), e.join(d, "lagging", longLease)
	var want []string
	refused := 0
	for i := 0; i < 4*backlog && refused == 0; i += step {
		var bodies []string
		for j := range step {
			bodies = append(bodies, fmt.Sprint(i+j))
		}
		for j, r := range e.try(d, messages(s, false, bodies)...) {
			if r.Err == nil {
				want = append(want, bodies[j])
				continue
			}
			refused++
			e.wantCode("past the lagging group's backlog", r.Err, transport.CodeFull)
		}
		e.drain(quick, patience, len(want)-i, s)
		time.Sleep(e.d(pause))
	}
	if most := backlog + step*int(250*time.Millisecond/pause) + 2*step; refused == 0 || len(want) < backlog || len(want) > most {
		e.Fatalf("%d messages were accepted and %d refused, want between %d and %d accepted", len(want), refused, backlog, most)
	}
	if diff := sameSet(bodiesOf(e.drain(lagging, patience, len(want), s)), want); diff != "" {
		e.Errorf("the lagging group got: %s", diff)
	}
	e.eventually(func() bool { return e.try(d, messages(s, false, []string{"again"})...)[0].Err == nil }, func() string {
		return "the stream is still full, and both groups have acked all"
	})
	e.drain(quick, patience, 1, s)
	e.drain(lagging, patience, 1, s)
}

// Rule: a consumer that takes 20 ms for each of 200 messages of 4 KiB holds up itself alone: another stream's messages reach the
// same driver within 1 s each meanwhile. Each of the 200 is delivered, once.
func slowConsumer(e *Env) {
	const total = 200
	d, sender := e.open(), e.open()
	slow, brisk := e.name(), e.name()
	for _, x := range []transport.Driver{d, sender} {
		e.ensure(x, transport.StreamSpec{Stream: slow, Groups: []string{group}}, transport.StreamSpec{Stream: brisk, Groups: []string{"brisk"}})
	}
	a, b := e.join(d, group, longLease), e.join(d, "brisk", longLease)
	e.nothing(a, quiet, slow) // now both are there, also for a transport that stores nothing
	e.nothing(b, quiet, brisk)
	want := make([]string, total)
	for i := range want {
		want[i] = fmt.Sprintf("%d%4092d", i, 0)
	}
	e.publish(sender, slow, want...)
	ctx, cancel := e.ctx(4 * patience)
	defer cancel()
	var got []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		for len(got) < total {
			ds, err := a.Receive(ctx, 1, creditsFor(1, slow))
			if err != nil {
				e.Errorf("the slow consumer after %d messages: %v", len(got), err)
				return
			}
			time.Sleep(20 * time.Millisecond)
			got = append(got, bodiesOf(ds)...)
			for i, err := range e.settle(a, transport.Ack, ds...) {
				if err != nil {
					e.Errorf("the slow consumer's ack of %s: %v", ds[i].ID, err)
				}
			}
		}
	}()
	for i := 0; ; i++ {
		select {
		case <-done:
			if diff := sameSet(got, want); diff != "" {
				e.Errorf("delivered to the slow consumer: %s", diff)
			}
			return
		default:
		}
		sent := time.Now()
		e.publish(sender, brisk, itoa(i))
		e.ack(b, e.receive(b, 1, brisk)...)
		if took := time.Since(sent); took > e.d(time.Second)+slack {
			e.Errorf("beside a slow consumer a message took %v", took)
		}
		time.Sleep(callerPause)
	}
}

// Rule: one driver that serves 32 streams and has opened 32 lanes gets what is sent to each, and holds no more connections
// than Capabilities.Connections (where that is 0, their number is only told).
func subscriptions32(e *Env) {
	const n = 32
	sender := e.open()
	e.publishable(sender)
	before := sockets()
	d := e.open()
	specs, streams := make([]transport.StreamSpec, n), make([]string, n)
	for i := range specs {
		streams[i] = e.name()
		specs[i] = transport.StreamSpec{Stream: streams[i], Groups: []string{group}}
	}
	for some := range slices.Chunk(specs, 4) { // making topics takes a loaded broker a second for a few
		e.ensure(d, some...)
		e.ensure(sender, some...)
	}
	most := 0
	count := func() { most = max(most, sockets()-before) }
	c, lanes := e.join(d, group, longLease), make([]transport.Tailer, n)
	for i := range n {
		lanes[i] = e.tail(d, transport.TailSpec{Name: fmt.Sprint("lane", i)})
		count()
	}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			ctx, cancel := e.ctx(2 * patience)
			defer cancel()
			bs, err := lanes[i].Receive(ctx, 1)
			if err != nil || len(bs) != 1 || string(bs[0]) != itoa(i) {
				e.Errorf("lane %d: %q, %v", i, bs, err)
			}
		})
	}
	e.nothing(c, quiet, streams...) // so that all wait by now
	count()
	for i := range n {
		e.publish(sender, streams[i], itoa(i))
		e.send(sender, transport.Message{Stream: lanes[i].Address(), Lane: true, Body: []byte(itoa(i))})
	}
	got := e.drain(c, 2*patience, n, streams...)
	wg.Wait()
	count()
	if diff := sameSet(bodiesOf(got), numbered(n)); diff != "" {
		e.Errorf("delivered: %s", diff)
	}
	for i, t := range lanes { // one by one: where a lane is a topic, deleting 32 at once takes a loaded broker seconds
		ctx, cancel := e.ctx(patience)
		if err := t.Close(ctx); err != nil {
			e.Errorf("closing lane %d: %v", i, err)
		}
		cancel()
	}
	e.Logf("%d connections for %d streams and lanes", most, n)
	if declared := d.Capabilities().Connections; declared > 0 && most > declared {
		e.Errorf("%d connections for %d streams and lanes; Connections is %d", most, n, declared)
	}
}

// publishable has the driver open what it needs for publishing, so that it is not counted as another's.
func (e *Env) publishable(d transport.Driver) {
	e.Helper()
	s := e.stream(d, group)
	t := e.tail(d, transport.TailSpec{Name: "own"})
	e.try(d, transport.Message{Stream: s, Body: []byte("x")}, transport.Message{Stream: t.Address(), Lane: true, Body: []byte("x")})
}
