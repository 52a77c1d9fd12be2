package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// shortLease is used where a scenario waits for a lease's end, before Harness.Slow: long enough to work within, short enough
// to wait for. A redelivery must come within it and takeover. longLease never ends within a scenario.
const (
	shortLease = 500 * time.Millisecond
	takeover   = 2 * time.Second
	longLease  = 30 * time.Second
)

// patience bounds every wait for something that must happen, before Harness.Slow; quiet is how long something that must not
// happen is waited for.
const (
	patience = 5 * time.Second
	quiet    = 80 * time.Millisecond
)

// Env is what one scenario works with: drivers of the harness, unique names, and checks that end the scenario when they fail.
type Env struct {
	TB
	h        Harness
	scenario string
	why      string // of a refusal
	cant     string // why the scenario found that it can't be run
	n        int
	drivers  []transport.Driver
	ends     []func() // run before the drivers are closed, the last first
	last     []func() // run after that
}

// atLast runs f when all drivers are closed.
func (e *Env) atLast(f func()) { e.last = append(e.last, f) }

// atEnd runs f when the scenario is over, before the drivers are closed.
func (e *Env) atEnd(f func()) { e.ends = append(e.ends, f) }

// d scales a duration by Harness.Slow.
func (e *Env) d(d time.Duration) time.Duration { return time.Duration(float64(d) * e.h.Slow) }

// ctx ends after the scaled d.
func (e *Env) ctx(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), e.d(d))
}

// name returns a new name that no other scenario or run uses.
func (e *Env) name() string {
	e.n++
	name := fmt.Sprintf("%s%s-%d", e.h.Prefix, e.scenario, e.n)
	if e.h.OnStream != nil {
		e.h.OnStream(name)
	}
	return name
}

// open connects a driver, which is closed when the scenario ends.
func (e *Env) open() transport.Driver {
	e.Helper()
	return e.openOn(e.h.Open)
}

// openOn is open for another broker.
func (e *Env) openOn(open func(context.Context) (transport.Driver, error)) transport.Driver {
	e.Helper()
	ctx, cancel := e.ctx(2 * patience)
	defer cancel()
	d, err := open(ctx)
	if err != nil {
		e.Fatalf("open: %v", err)
	}
	e.drivers = append(e.drivers, d)
	return d
}

func (e *Env) closeAll() {
	for _, f := range slices.Backward(e.ends) {
		f()
	}
	var wg sync.WaitGroup
	for _, d := range e.drivers {
		wg.Go(func() {
			ctx, cancel := e.ctx(patience)
			defer cancel()
			if err := d.Close(ctx); err != nil {
				e.Errorf("closing the driver: %v", err)
			}
		})
	}
	wg.Wait()
	for _, f := range e.last {
		f()
	}
}

// stream makes a stream with the given groups and returns its name.
func (e *Env) stream(d transport.Driver, groups ...string) string {
	e.Helper()
	s := e.name()
	e.ensure(d, transport.StreamSpec{Stream: s, Groups: groups})
	return s
}

func (e *Env) ensure(d transport.Driver, specs ...transport.StreamSpec) {
	e.Helper()
	ctx, cancel := e.ctx(patience)
	defer cancel()
	if err := d.Ensure(ctx, specs); err != nil {
		e.Fatalf("ensure %v: %v", specs, err)
	}
}

func (e *Env) join(d transport.Driver, group string, lease time.Duration) transport.Consumer {
	e.Helper()
	ctx, cancel := e.ctx(patience)
	defer cancel()
	c, err := d.Join(ctx, transport.Subscription{Group: group, Lease: e.d(lease)})
	if err != nil {
		e.Fatalf("join %s: %v", group, err)
	}
	return c
}

func (e *Env) tail(d transport.Driver, spec transport.TailSpec) transport.Tailer {
	e.Helper()
	ctx, cancel := e.ctx(patience)
	defer cancel()
	t, err := d.Tail(ctx, spec)
	if err != nil {
		e.Fatalf("tail: %v", err)
	}
	return t
}

// try publishes and returns the results, which must be well formed.
func (e *Env) try(d transport.Driver, msgs ...transport.Message) []transport.Result {
	e.Helper()
	ctx, cancel := e.ctx(patience)
	defer cancel()
	rs := make([]transport.Result, len(msgs))
	d.Publish(ctx, msgs, rs)
	for i, r := range rs {
		if (r.Outcome == transport.OutcomeAccepted) != (r.Err == nil) {
			e.Fatalf("message %d: outcome %v with error %v", i, r.Outcome, r.Err)
		}
		e.typed(r.Err)
	}
	return rs
}

// publish publishes bodies to a stream; all must be accepted.
func (e *Env) publish(d transport.Driver, stream string, bodies ...string) {
	e.Helper()
	e.send(d, messages(stream, false, bodies)...)
}

// send publishes messages that must all be accepted.
func (e *Env) send(d transport.Driver, msgs ...transport.Message) {
	e.Helper()
	for i, r := range e.try(d, msgs...) {
		if r.Outcome != transport.OutcomeAccepted {
			e.Fatalf("publishing message %d of %d to %s: %v: %v", i, len(msgs), msgs[i].Stream, r.Outcome, r.Err)
		}
	}
}

// refuse publishes a message that must be rejected with the given code.
func (e *Env) refuse(d transport.Driver, m transport.Message, code transport.Code) {
	e.Helper()
	r := e.try(d, m)[0]
	if r.Outcome != transport.OutcomeRejected || transport.CodeOf(r.Err) != code {
		e.Errorf("publishing %d bytes to %q (lane %v): got %v with %v, want rejected with %v", len(m.Body), m.Stream, m.Lane, r.Outcome, r.Err, code)
	}
}

// wantCode checks that err is an *Error with the given code.
func (e *Env) wantCode(what string, err error, code transport.Code) {
	e.Helper()
	if !transport.IsCode(err, code) {
		e.Errorf("%s: got %v, want code %v", what, err, code)
	}
	e.typed(err)
}

// typed checks that a driver's error is an *Error.
func (e *Env) typed(err error) {
	e.Helper()
	if _, ok := asError(err); err != nil && !ok {
		e.Errorf("the error %q (%T) is not a *transport.Error", err, err)
	}
}

// receive collects n deliveries with a credit of n for each stream; it fails the scenario when they don't come.
func (e *Env) receive(c transport.Consumer, n int, streams ...string) []transport.Delivery {
	e.Helper()
	return e.receiveWithin(c, patience, n, streams...)
}

func (e *Env) receiveWithin(c transport.Consumer, d time.Duration, n int, streams ...string) []transport.Delivery {
	e.Helper()
	return e.collect(c, d, n, func([]transport.Delivery) {}, streams...)
}

// drain is receiveWithin that acks what came at once, so that no lease of its own ends while it waits for the rest.
func (e *Env) drain(c transport.Consumer, d time.Duration, n int, streams ...string) []transport.Delivery {
	e.Helper()
	return e.collect(c, d, n, func(ds []transport.Delivery) { e.ack(c, ds...) }, streams...)
}

func (e *Env) collect(c transport.Consumer, d time.Duration, n int, each func([]transport.Delivery), streams ...string) []transport.Delivery {
	e.Helper()
	ctx, cancel := e.ctx(d)
	defer cancel()
	var got []transport.Delivery
	for len(got) < n {
		left := n - len(got)
		ds, err := c.Receive(ctx, left, creditsFor(left, streams...))
		if err != nil {
			e.Fatalf("received %d of %d deliveries from %s within %v: %v", len(got), n, strings.Join(streams, ", "), e.d(d), err)
		}
		if len(ds) == 0 || len(ds) > left {
			e.Fatalf("Receive with max %d returned %d deliveries", left, len(ds))
		}
		each(ds)
		got = append(got, ds...)
	}
	return got
}

// nothing checks that no delivery comes for a while.
func (e *Env) nothing(c transport.Consumer, d time.Duration, streams ...string) {
	e.Helper()
	ctx, cancel := e.ctx(d)
	defer cancel()
	ds, err := c.Receive(ctx, 10, creditsFor(10, streams...))
	if err == nil {
		e.Errorf("got %d deliveries from %s (first: id %s, attempt %d, body %.20q), want none", len(ds), ds[0].Stream, ds[0].ID, ds[0].Attempt, ds[0].Body)
	} else if ctx.Err() == nil {
		e.Errorf("receive: %v", err)
	}
}

// settle settles deliveries alike and returns the errors.
func (e *Env) settle(c transport.Consumer, verb transport.Verb, ds ...transport.Delivery) []error {
	e.Helper()
	batch := make([]transport.Settlement, len(ds))
	for i := range ds {
		batch[i] = transport.Settlement{Delivery: &ds[i], Verb: verb}
	}
	return e.settleAll(c, batch...)
}

func (e *Env) settleAll(c transport.Consumer, batch ...transport.Settlement) []error {
	e.Helper()
	ctx, cancel := e.ctx(patience)
	defer cancel()
	errs := make([]error, len(batch))
	c.Settle(ctx, batch, errs)
	for _, err := range errs {
		e.typed(err)
	}
	return errs
}

// ack acks deliveries, which must succeed.
func (e *Env) ack(c transport.Consumer, ds ...transport.Delivery) {
	e.Helper()
	for i, err := range e.settle(c, transport.Ack, ds...) {
		if err != nil {
			e.Fatalf("acking delivery %s of %s: %v", ds[i].ID, ds[i].Stream, err)
		}
	}
}

func (e *Env) lag(d transport.Driver, stream, group string) transport.Lag {
	e.Helper()
	ctx, cancel := e.ctx(patience)
	defer cancel()
	l, err := d.Lag(ctx, stream, group)
	if err != nil {
		e.Fatalf("lag of %s in %s: %v", group, stream, err)
	}
	return l
}

// pending waits until the group has n pending entries: acks may be sent a little later than Settle returns.
func (e *Env) pending(d transport.Driver, stream, group string, n int64) {
	e.Helper()
	var l transport.Lag
	e.eventually(func() bool {
		l = e.lag(d, stream, group)
		return l.Pending == n || l.Pending == -1
	}, func() string {
		return fmt.Sprintf("%s in %s has %d pending entries, want %d", group, stream, l.Pending, n)
	})
}

// eventually polls until ok or patience is over.
func (e *Env) eventually(ok func() bool, what func() string) {
	e.Helper()
	deadline := time.Now().Add(e.d(patience))
	for !ok() {
		if time.Now().After(deadline) {
			e.Fatalf("after %v: %s", e.d(patience), what())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// read collects n bodies from a lane.
func (e *Env) read(t transport.Tailer, n int) []string {
	e.Helper()
	ctx, cancel := e.ctx(patience)
	defer cancel()
	var got []string
	for len(got) < n {
		bs, err := t.Receive(ctx, n-len(got))
		if err != nil {
			e.Fatalf("read %d of %d messages from lane %s: %v", len(got), n, t.Address(), err)
		}
		if len(bs) == 0 || len(bs) > n-len(got) {
			e.Fatalf("Receive with max %d returned %d messages", n-len(got), len(bs))
		}
		got = append(got, stringsOf(bs)...)
	}
	return got
}

// silent checks that a lane brings nothing for a while.
func (e *Env) silent(t transport.Tailer) {
	e.Helper()
	ctx, cancel := e.ctx(quiet)
	defer cancel()
	if bs, err := t.Receive(ctx, 10); err == nil {
		e.Errorf("lane %s brought %d messages (first %.20q), want none", t.Address(), len(bs), bs[0])
	} else if ctx.Err() == nil {
		e.Errorf("receive from lane: %v", err)
	}
}
