package conformance

import (
	"time"

	"github.com/streamerson/streamerson/transport"
)

// Rule: a released message comes again at once, to any consumer, with the same id and body and Attempt one higher each time;
// settling the released delivery again is refused or harmless.
func releaseAttempts(e *Env) {
	d := e.open()
	if !d.Capabilities().Release {
		e.refused("Release isn't claimed; unclaimed-refused looks at it")
		return
	}
	s := e.stream(d, group)
	cs := []transport.Consumer{e.join(d, group, longLease), e.join(d, group, longLease)}
	e.publish(d, s, "x")
	id := ""
	for attempt := 1; attempt <= 4; attempt++ {
		c := cs[attempt%2]
		x := e.receive(c, 1, s)[0]
		if x.Attempt != attempt || id != "" && x.ID != id || string(x.Body) != "x" {
			e.Errorf("attempt %d came as attempt %d with id %s (first id %s), body %q", attempt, x.Attempt, x.ID, id, x.Body)
		}
		id = x.ID
		if attempt == 4 {
			e.ack(c, x)
			break
		}
		if err := e.settle(c, transport.Release, x)[0]; err != nil {
			e.Fatalf("release: %v", err)
		}
	}
	e.pending(d, s, group, 0)
	e.nothing(cs[0], quiet, s)
}

// Rule: a message released with a delay of 700 ms comes to a waiting consumer not before and at most 2 s after it, while
// others pass it by.
func releaseDelay(e *Env) {
	d := e.open()
	if !d.Capabilities().ReleaseDelay {
		e.refused("ReleaseDelay isn't claimed; unclaimed-refused looks at it")
		return
	}
	delay := e.d(700 * time.Millisecond)
	s := e.stream(d, group)
	c := e.join(d, group, longLease)
	e.publish(d, s, "slow")
	x := e.receive(c, 1, s)[0]
	if err := e.settleAll(c, transport.Settlement{Delivery: &x, Verb: transport.Release, Delay: delay})[0]; err != nil {
		e.Fatalf("release: %v", err)
	}
	start := time.Now()
	e.publish(d, s, "fast")
	got := e.receive(c, 1, s)
	if string(got[0].Body) != "fast" {
		e.Errorf("got %q, want the message that waits", got[0].Body)
	}
	e.ack(c, got...)
	got = e.receive(c, 1, s)
	if took := time.Since(start); took < delay-10*time.Millisecond || took > delay+e.d(takeover) || got[0].Attempt != 2 {
		e.Errorf("released for %v: came after %v with attempt %d", delay, took, got[0].Attempt)
	}
	e.ack(c, got...)
	e.pending(d, s, group, 0)
}

// Rule: acking a delivery twice, in two calls, gives no error and takes nothing else away.
func doubleAck(e *Env) {
	d := e.open()
	s := e.stream(d, group)
	c := e.join(d, group, longLease)
	e.publish(d, s, "a", "b")
	got := e.receive(c, 2, s)
	e.ack(c, got[0])
	e.ack(c, got[0])
	e.pending(d, s, group, 1)
	e.ack(c, got[1])
	e.pending(d, s, group, 0)
	e.nothing(c, quiet, s)
}

// Rule: once another consumer has the message, the first owner's Extend is CodeStale, its Ack is CodeStale or (where the
// broker can't tell) nil, and neither takes the message from the new owner's lease: the new owner acks, and nothing is left.
func staleSettle(e *Env) {
	d := e.open()
	if !d.Capabilities().Redeliver {
		e.refused("Redeliver isn't claimed: no other consumer takes over; lease-expiry looks at it")
		return
	}
	s := e.stream(d, group)
	a, b := e.join(d, group, shortLease), e.join(d, group, shortLease)
	e.publish(d, s, "x")
	first := e.receive(a, 1, s)[0]
	second := e.receiveWithin(b, shortLease+takeover, 1, s)[0]
	if d.Capabilities().Extend {
		e.wantCode("extend by the first owner", e.settle(a, transport.Extend, first)[0], transport.CodeStale)
	}
	if err := e.settle(a, transport.Ack, first)[0]; err != nil {
		e.wantCode("ack by the first owner", err, transport.CodeStale)
		e.pending(d, s, group, 1)
	}
	e.ack(b, second)
	e.pending(d, s, group, 0)
	e.nothing(a, quiet, s)
}

// Rule: an unsettled delivery comes to another consumer with the same id and Attempt 2, not before its lease has ended and at
// most 2 s after. Where Redeliver isn't claimed it stays with its consumer for as long as that lives, which can still settle it.
func leaseExpiry(e *Env) {
	d, d2 := e.open(), e.open()
	s := e.stream(d, group)
	e.ensure(d2, transport.StreamSpec{Stream: s, Groups: []string{group}})
	if !d.Capabilities().Redeliver {
		a := e.join(d, group, shortLease)
		e.publish(d, s, "x")
		x := e.receive(a, 1, s)[0]
		e.nothing(e.join(d2, group, shortLease), 3*shortLease, s)
		e.ack(a, x)
		e.refused("Redeliver isn't claimed: a delivery stays with its consumer while that lives")
		return
	}
	a, b := e.join(d, group, shortLease), e.join(d2, group, shortLease)
	e.publish(d, s, "x")
	start := time.Now() // before the lease can have begun
	first := e.receive(a, 1, s)[0]
	again := e.receiveWithin(b, shortLease+takeover, 1, s)[0]
	if took := time.Since(start); took < e.d(shortLease)-10*time.Millisecond {
		e.Errorf("a lease of %v was taken over after %v", e.d(shortLease), took)
	}
	if again.Attempt != 2 || again.ID != first.ID || string(again.Body) != "x" {
		e.Errorf("taken over as id %s, attempt %d, body %q; want id %s, attempt 2", again.ID, again.Attempt, again.Body, first.ID)
	}
	e.ack(b, again)
	e.pending(d, s, group, 0)
}

// Rule: a delivery that is extended each third of its lease stays with its owner for two and a half leases; when that ends
// it is taken over with Attempt 2, for extensions count no attempt.
func extendKeeps(e *Env) {
	d := e.open()
	if !d.Capabilities().Extend {
		e.refused("Extend isn't claimed; unclaimed-refused looks at it")
		return
	}
	lease := shortLease
	for !e.keeps(d, lease) {
		if lease *= 2; lease > 16*shortLease {
			e.Fatalf("this machine holds the suite up for longer than %v: nothing can be said of leases", e.d(lease/2))
		}
	}
}

// keeps is extendKeeps with one lease. It returns false when this process was held up for longer than the lease: then nothing
// can be said.
func (e *Env) keeps(d transport.Driver, lease time.Duration) bool {
	s := e.stream(d, group)
	a, b := e.join(d, group, lease), e.join(d, group, lease)
	e.publish(d, s, "x")
	begun := time.Now() // the lease begins later than that, and so it ends later than begun and lease
	late := func() bool { return time.Since(begun) >= e.d(lease) }
	x := e.receive(a, 1, s)[0]
	for end := time.Now().Add(e.d(lease * 5 / 2)); time.Now().Before(end); {
		ctx, cancel := e.ctx(lease / 3)
		ds, err := b.Receive(ctx, 1, creditsFor(1, s))
		cancel()
		switch {
		case err == nil && late():
			return false
		case err == nil:
			e.Fatalf("another consumer got the delivery (attempt %d) %v after the lease of %v had begun", ds[0].Attempt, time.Since(begun), e.d(lease))
		case ctx.Err() == nil:
			e.Errorf("receive: %v", err)
		}
		now := time.Now()
		if err := e.settle(a, transport.Extend, x)[0]; err != nil {
			if late() {
				return false
			}
			e.Fatalf("extend: %v", err)
		}
		begun = now
	}
	if !d.Capabilities().Redeliver {
		e.ack(a, x)
		return true
	}
	again := e.receiveWithin(b, lease+takeover, 1, s)[0]
	if again.Attempt != 2 {
		e.Errorf("after extensions the second delivery has attempt %d", again.Attempt)
	}
	e.ack(b, again)
	e.pending(d, s, group, 0)
	return true
}
