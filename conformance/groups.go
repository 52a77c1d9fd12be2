package conformance

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// Rule: of 1,000 messages, four consumers on two drivers handle each exactly once, and nothing is left waiting or pending.
func competingWorkers(e *Env) {
	const n = 1000
	d1, d2 := e.open(), e.open()
	s := e.stream(d1, group)
	e.ensure(d2, transport.StreamSpec{Stream: s, Groups: []string{group}})
	var mu sync.Mutex
	var got []string
	ctx, cancel := e.ctx(2 * patience)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 4 {
		c := e.join([]transport.Driver{d1, d2}[i%2], group, longLease)
		wg.Go(func() {
			for {
				ds, err := c.Receive(ctx, 16, creditsFor(16, s))
				if err != nil {
					return
				}
				batch, errs := make([]transport.Settlement, len(ds)), make([]error, len(ds))
				for i := range ds {
					batch[i] = transport.Settlement{Delivery: &ds[i], Verb: transport.Ack}
				}
				c.Settle(ctx, batch, errs)
				mu.Lock()
				for i, err := range errs {
					if err != nil {
						e.Errorf("ack: %v", err)
					}
					got = append(got, string(ds[i].Body))
				}
				if len(got) >= n {
					time.AfterFunc(e.d(quiet), cancel) // a little longer, to see doubles
				}
				mu.Unlock()
			}
		})
	}
	want := numbered(n)
	for i := 0; i < n; i += 50 {
		e.publish(d1, s, want[i:i+50]...)
	}
	wg.Wait()
	if diff := sameSet(got, want); diff != "" {
		e.Errorf("handled: %s", diff)
	}
	e.pending(d1, s, group, 0)
	if l := e.lag(d1, s, group); l.Waiting > 0 {
		e.Errorf("%d entries wait", l.Waiting)
	}
}

// Rule: each of two groups gets every message, in order where OrderedInPublish is claimed; one group's acks take nothing from the other.
func twoGroups(e *Env) {
	d := e.open()
	s := e.stream(d, "one", "two")
	one, two := e.join(d, "one", longLease), e.join(d, "two", longLease)
	want := numbered(50)
	e.publish(d, s, want...)
	for _, c := range []transport.Consumer{one, two} {
		got := e.receive(c, len(want), s)
		if diff := published(d, bodiesOf(got), want); diff != "" {
			e.Errorf("%s", diff)
		}
		e.ack(c, got...)
	}
	e.nothing(one, quiet, s)
	e.pending(d, s, "one", 0)
	e.pending(d, s, "two", 0)
}

// Rule: where Stored is claimed, what was published before the group was made is delivered to it; Ensure again changes nothing.
// Where it isn't, a stream that nobody has joined refuses with CodeUnavailable, with and without a group, and what it refused
// never comes.
func publishBeforeGroup(e *Env) {
	d := e.open()
	s := e.stream(d)
	if !d.Capabilities().Stored {
		e.refuse(d, transport.Message{Stream: s, Body: []byte("x")}, transport.CodeUnavailable)
		e.ensure(d, transport.StreamSpec{Stream: s, Groups: []string{group}})
		e.refuse(d, transport.Message{Stream: s, Body: []byte("x")}, transport.CodeUnavailable)
		c := e.join(d, group, longLease)
		e.publish(d, s, "y")
		got := e.receive(c, 1, s)
		if string(got[0].Body) != "y" {
			e.Errorf("got %q, which was refused", got[0].Body)
		}
		e.ack(c, got...)
		e.nothing(c, quiet, s)
		e.refused("Stored isn't claimed: a stream that nobody has joined refuses")
		return
	}
	want := numbered(20)
	e.publish(d, s, want...)
	e.ensure(d, transport.StreamSpec{Stream: s, Groups: []string{group}})
	c := e.join(d, group, longLease)
	first := e.receive(c, 10, s)
	e.ensure(d, transport.StreamSpec{Stream: s, Groups: []string{group}})
	got := append(first, e.receive(c, 10, s)...)
	if diff := published(d, bodiesOf(got), want); diff != "" {
		e.Errorf("%s", diff)
	}
	e.ack(c, got...)
}

// Rule: 20 Ensure at once, over four drivers, with publishing as soon as each returns (where Stored isn't claimed: once a
// consumer has joined): no error, and all 20 messages are delivered once.
func concurrentEnsure(e *Env) {
	ds := []transport.Driver{e.open(), e.open(), e.open(), e.open()}
	s := e.name()
	stored := ds[0].Capabilities().Stored
	var wg sync.WaitGroup
	var want []string
	for i := range 20 {
		body := fmt.Sprint(i)
		want = append(want, body)
		wg.Go(func() {
			ctx, cancel := e.ctx(patience)
			defer cancel()
			if err := ds[i%4].Ensure(ctx, []transport.StreamSpec{{Stream: s, Groups: []string{group}}}); err != nil {
				e.Errorf("ensure: %v", err)
				return
			}
			if !stored {
				return
			}
			r := make([]transport.Result, 1)
			if ds[i%4].Publish(ctx, messages(s, false, []string{body}), r); r[0].Err != nil {
				e.Errorf("publish: %v", r[0].Err)
			}
		})
	}
	wg.Wait()
	if e.Failed() {
		return
	}
	c := e.join(ds[0], group, longLease)
	for i := 0; !stored && i < len(want); i++ {
		e.publish(ds[i%4], s, want[i])
	}
	got := e.receive(c, len(want), s)
	if diff := sameSet(bodiesOf(got), want); diff != "" {
		e.Errorf("%s", diff)
	}
	e.ack(c, got...)
	e.nothing(c, quiet, s)
}

// Rule: only Ensure creates. Publishing to, receiving from and asking the lag of a stream that was never ensured, or of a
// group that wasn't, is CodeNotFound each time; names out of the allowed set are CodeInvalid, and nothing of the call is made.
func missingStream(e *Env) {
	d := e.open()
	missing, s := e.name(), e.stream(d)
	c := e.join(d, group, longLease)
	lag := func(stream string) error {
		ctx, cancel := e.ctx(patience)
		defer cancel()
		_, err := d.Lag(ctx, stream, group)
		return err
	}
	receive := func(stream string) error {
		ctx, cancel := e.ctx(time.Second)
		defer cancel()
		_, err := c.Receive(ctx, 1, creditsFor(1, stream))
		return err
	}
	for range 2 {
		e.refuse(d, transport.Message{Stream: missing, Body: []byte("x")}, transport.CodeNotFound)
		for what, err := range map[string]error{
			"lag of a missing stream": lag(missing), "receive from a missing stream": receive(missing),
			"lag of a missing group": lag(s), "receive for a missing group": receive(s),
		} {
			e.wantCode(what, err, transport.CodeNotFound)
		}
	}
	ctx, cancel := e.ctx(patience)
	defer cancel()
	for _, bad := range []string{"", "a b", "a/b", ".a", "-a", "ä", "a\n", "a:b", "*", strings.Repeat("x", 201)} {
		ok := e.name()
		e.wantCode(fmt.Sprintf("ensuring stream %.20q", bad), d.Ensure(ctx, []transport.StreamSpec{{Stream: ok}, {Stream: bad}}), transport.CodeInvalid)
		e.wantCode(fmt.Sprintf("ensuring group %.20q", bad), d.Ensure(ctx, []transport.StreamSpec{{Stream: ok, Groups: []string{bad}}}), transport.CodeInvalid)
		e.refuse(d, transport.Message{Stream: ok}, transport.CodeNotFound)
	}
}

// Rule: a consumer that waits gets what is published later, soon: each time, and after a wait longer than any poll.
func consumeBeforePublish(e *Env) {
	d, sender := e.open(), e.open()
	s := e.stream(d, group)
	c := e.join(d, group, longLease)
	for _, wait := range []time.Duration{0, 50 * time.Millisecond, 1100 * time.Millisecond} {
		var at time.Time
		timer := make(chan struct{})
		go func() {
			defer close(timer)
			time.Sleep(e.d(wait))
			at = time.Now()
			r := make([]transport.Result, 1)
			ctx, cancel := e.ctx(patience)
			defer cancel()
			if sender.Publish(ctx, messages(s, false, []string{"x"}), r); r[0].Err != nil {
				e.Errorf("publish: %v", r[0].Err)
			}
		}()
		got := e.receive(c, 1, s)
		<-timer
		if took := time.Since(at); took > e.d(time.Second) {
			e.Errorf("after %v of waiting, a message took %v to come", wait, took)
		}
		e.ack(c, got...)
	}
}
