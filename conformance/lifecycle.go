package conformance

import (
	"context"
	"slices"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// Rule: what a consumer or driver holds unsettled when it is closed comes to another consumer, with a higher Attempt, at once
// or at most 2 s after the lease; Settle after Close is CodeClosed.
func closeKeepsPending(e *Env) {
	d, d2, watcher := e.open(), e.open(), e.open()
	if !d.Capabilities().Redeliver {
		e.refused("Redeliver isn't claimed; out-of-order-acks-then-reopen looks at what a closed driver held")
		return
	}
	s := e.stream(watcher, group)
	e.ensure(d, transport.StreamSpec{Stream: s, Groups: []string{group}})
	e.ensure(d2, transport.StreamSpec{Stream: s, Groups: []string{group}})
	a, b, c := e.join(d, group, shortLease), e.join(d2, group, shortLease), e.join(watcher, group, shortLease)
	want := numbered(10)
	e.publish(watcher, s, want...)
	held := e.receive(a, 4, s)
	e.receive(b, 3, s)
	ctx, cancel := e.ctx(patience)
	defer cancel()
	if err := a.Close(ctx); err != nil {
		e.Errorf("closing the consumer: %v", err)
	}
	if err := d2.Close(ctx); err != nil {
		e.Errorf("closing the driver: %v", err)
	}
	e.wantCode("ack after Close", e.settle(a, transport.Ack, held[0])[0], transport.CodeClosed)
	got := e.drain(c, shortLease+takeover, 10, s)
	for _, x := range got {
		if taken := string(x.Body) <= "6"; taken != (x.Attempt > 1) {
			e.Errorf("message %q has attempt %d", x.Body, x.Attempt)
		}
	}
	if diff := sameSet(bodiesOf(got), want); diff != "" {
		e.Errorf("%s", diff)
	}
	e.pending(watcher, s, group, 0)
}

// Rule: of 10 deliveries every second one is acked, last first, and the driver is closed; a new driver gets exactly the
// others and what was never delivered: an ack stands for itself, not for those before it. Where Stored isn't claimed nothing comes
// again: what the first driver had got ended with it.
func outOfOrderAcksThenReopen(e *Env) {
	d := e.open()
	s := e.stream(d, group)
	c := e.join(d, group, shortLease)
	e.publish(d, s, numbered(12)...)
	got := e.receive(c, 10, s)
	slices.Reverse(got)
	want := numbered(12)
	for i, x := range got {
		if i%2 == 0 { // bodies 9, 7, 5, 3, 1 where they come in order
			e.ack(c, x)
			want = slices.DeleteFunc(want, func(b string) bool { return b == string(x.Body) })
		}
	}
	e.pending(d, s, group, 5)
	ctx, cancel := e.ctx(patience)
	defer cancel()
	if err := d.Close(ctx); err != nil {
		e.Errorf("close: %v", err)
	}
	d = e.open()
	e.ensure(d, transport.StreamSpec{Stream: s, Groups: []string{group}})
	c = e.join(d, group, shortLease)
	if !d.Capabilities().Stored {
		e.nothing(c, shortLease, s)
		e.refused("Stored isn't claimed: what a closed driver held does not come again")
		return
	}
	got = e.drain(c, shortLease+takeover, 7, s)
	if diff := sameSet(bodiesOf(got), want); diff != "" {
		e.Errorf("after reopening: %s", diff)
	}
	e.pending(d, s, group, 0)
	e.nothing(c, quiet, s)
}

// Rule: after Close, every method of the driver, its consumers and tailers is CodeClosed (Publish: rejected), the second
// Close is nil, and another driver on the broker is not affected.
func closedDriver(e *Env) {
	d, other := e.open(), e.open()
	s := e.stream(d, group)
	e.ensure(other, transport.StreamSpec{Stream: s, Groups: []string{group}})
	c, t := e.join(d, group, longLease), e.tail(d, transport.TailSpec{Name: "lane"})
	ctx, cancel := e.ctx(patience)
	defer cancel()
	for range 2 {
		if err := d.Close(ctx); err != nil {
			e.Errorf("close: %v", err)
		}
	}
	e.wantCode("ensure", d.Ensure(ctx, []transport.StreamSpec{{Stream: s}}), transport.CodeClosed)
	e.refuse(d, transport.Message{Stream: s, Body: []byte("x")}, transport.CodeClosed)
	_, err := d.Join(ctx, transport.Subscription{Group: group})
	e.wantCode("join", err, transport.CodeClosed)
	_, err = d.Tail(ctx, transport.TailSpec{Name: "lane"})
	e.wantCode("tail", err, transport.CodeClosed)
	_, err = d.Lag(ctx, s, group)
	e.wantCode("lag", err, transport.CodeClosed)
	_, err = c.Receive(ctx, 1, creditsFor(1, s))
	e.wantCode("consumer's receive", err, transport.CodeClosed)
	_, err = t.Receive(ctx, 1)
	e.wantCode("tailer's receive", err, transport.CodeClosed)
	if err = c.Close(ctx); err != nil {
		e.Errorf("closing a consumer of a closed driver: %v", err)
	}
	if err = t.Close(ctx); err != nil {
		e.Errorf("closing a tailer of a closed driver: %v", err)
	}
	oc := e.join(other, group, longLease)
	e.publish(other, s, "y")
	e.ack(oc, e.receive(oc, 1, s)...)
}

// Rule: blocked Receives of consumers and tailers return within 2 s when their consumer, tailer or driver is closed, with
// CodeClosed; one whose context ends returns the context's error within 1.5 s.
func closeEndsReceive(e *Env) {
	d, d2 := e.open(), e.open()
	s := e.stream(d, group)
	e.ensure(d2, transport.StreamSpec{Stream: s, Groups: []string{group}})
	type ended struct {
		what string
		err  error
	}
	done := make(chan ended, 5)
	ctx, cancel := e.ctx(4 * patience)
	defer cancel()
	block := func(ctx context.Context, what string, c transport.Consumer, t transport.Tailer) {
		go func() {
			var err error
			if c != nil {
				_, err = c.Receive(ctx, 1, creditsFor(1, s))
			} else {
				_, err = t.Receive(ctx, 1)
			}
			done <- ended{what, err}
		}()
	}
	wait := func(n int, what string, limit time.Duration, check func(ended)) {
		e.Helper()
		late := time.After(e.d(limit))
		for range n {
			select {
			case x := <-done:
				check(x)
			case <-late:
				e.Fatalf("%s: a Receive still blocks after %v", what, e.d(limit))
			}
		}
	}
	closed := func(x ended) { e.wantCode(x.what, x.err, transport.CodeClosed) }

	c, t := e.join(d, group, longLease), e.tail(d, transport.TailSpec{Name: "lane"})
	for range 2 {
		short, stop := context.WithCancel(ctx)
		block(short, "consumer", c, nil)
		block(short, "tailer", nil, t)
		time.Sleep(e.d(quiet))
		stop()
		wait(2, "cancelled context", 1500*time.Millisecond, func(x ended) {
			if !transport.IsCode(x.err, transport.CodeCanceled) {
				e.Errorf("%s with a cancelled context: %v", x.what, x.err)
			}
		})
	}
	block(ctx, "closed consumer", c, nil)
	block(ctx, "closed tailer", nil, t)
	time.Sleep(e.d(quiet))
	if err := c.Close(ctx); err != nil {
		e.Errorf("close: %v", err)
	}
	e.closeLane(t)
	wait(2, "closed consumer and tailer", takeover, closed)

	block(ctx, "consumer of a closed driver", e.join(d2, group, longLease), nil)
	block(ctx, "tailer of a closed driver", nil, e.tail(d2, transport.TailSpec{Name: "lane"}))
	time.Sleep(e.d(quiet))
	if err := d2.Close(ctx); err != nil {
		e.Errorf("close: %v", err)
	}
	wait(2, "closed driver", takeover, closed)
}

// Rule: 50 drivers, each opened, joined, tailed, used for one message and closed, leave nothing pending and no goroutine.
func openClose50(e *Env) {
	first := e.open()
	s := e.stream(first, group)
	for range 50 {
		d := e.open()
		e.ensure(d, transport.StreamSpec{Stream: s, Groups: []string{group}})
		t := e.tail(d, transport.TailSpec{Name: "lane"})
		c := e.join(d, group, longLease)
		e.publish(d, s, "x")
		x := e.receive(c, 1, s)[0]
		reply := transport.Message{Stream: t.Address(), Lane: true, Body: []byte("y")}
		if err := e.settleAll(c, transport.Settlement{Delivery: &x, Verb: transport.Ack, Reply: &reply})[0]; err != nil {
			e.Fatalf("settle: %v", err)
		}
		e.read(t, 1)
		ctx, cancel := e.ctx(patience)
		if err := d.Close(ctx); err != nil {
			e.Errorf("close: %v", err)
		}
		cancel()
	}
	e.pending(first, s, group, 0)
}
