package nats

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/transport"
)

// take receives exactly n messages and leaves them unsettled.
func take(t *testing.T, c transport.Consumer, stream string, n int) []transport.Delivery {
	t.Helper()
	var got []transport.Delivery
	deadline := time.Now().Add(within)
	for len(got) < n {
		ctx, cancel := contextUntil(t, deadline)
		ds, err := c.Receive(ctx, n-len(got), []transport.Credit{{Stream: stream, Max: n - len(got)}})
		cancel()
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d messages came: %v", len(got), n, err)
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond)
		}
		got = append(got, ds...)
	}
	return got
}

func ack1(t *testing.T, c transport.Consumer, ds ...transport.Delivery) {
	t.Helper()
	for i := range ds {
		errs := make([]error, 1)
		c.Settle(t.Context(), []transport.Settlement{{Delivery: &ds[i], Verb: transport.Ack}}, errs)
		if errs[0] != nil {
			t.Fatal(errs[0])
		}
	}
}

func bodies(ds []transport.Delivery) map[string]bool {
	m := map[string]bool{}
	for _, x := range ds {
		m[string(x.Body)] = true
	}
	return m
}

func numbered(stream string, from, to int) []transport.Message {
	var msgs []transport.Message
	for i := from; i < to; i++ {
		msgs = append(msgs, transport.Message{Stream: stream, Body: []byte(strconv.Itoa(i))})
	}
	return msgs
}

func accepted(t *testing.T, d *Driver, msgs ...transport.Message) {
	t.Helper()
	for i, r := range publish(d, msgs...) {
		if r.Err != nil {
			t.Fatalf("message %d of %d: %v", i, len(msgs), r.Err)
		}
	}
}

// What all groups have settled goes away by itself; what one of them has not, stays.
func TestSettledIsTrimmed(t *testing.T) {
	n := server(t, brokers.NATSConfig{})
	js := admin(t, n.Addr)
	d, e := open(t, n.URL)
	c := ensure(t, d, transport.StreamSpec{Stream: "s", Groups: []string{"workers", "slow"}})
	slow, err := d.Join(t.Context(), transport.Subscription{Group: "slow", Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	stored := func() uint64 {
		s, err := js.Stream(t.Context(), jsStream("s"))
		if err != nil {
			t.Fatal(err)
		}
		return s.CachedInfo().State.Msgs
	}
	until := func(n uint64) {
		t.Helper()
		for deadline := time.Now().Add(within); stored() != n; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the stream has %d messages, want %d", stored(), n)
			}
		}
	}
	accepted(t, d, numbered("s", 0, 10)...)
	ack1(t, c, take(t, c, "s", 10)...)
	held := take(t, slow, "s", 10)
	ack1(t, slow, held[:4]...)
	ack1(t, slow, held[6:]...)
	until(6) // the fifth is not settled, so the sixth to the tenth stay as well
	ack1(t, slow, held[4], held[5])
	until(0)
	if got := e.count(transport.EventTrimmed); got != 10 {
		t.Errorf("%d were reported as trimmed", got)
	}
}

// A small backlog is a bound on what waits and is worked on, not on what is settled and not yet trimmed, even where that can't be
// trimmed because the oldest message is not settled.
func TestSettledIsNoBacklog(t *testing.T) {
	const backlog = 10
	n := server(t, brokers.NATSConfig{})
	d, _ := open(t, n.URL)
	c := ensure(t, d, transport.StreamSpec{Stream: "s", Groups: []string{"workers"}, MaxBacklog: backlog})
	for i := range 10 * backlog { // each is settled before the next
		accepted(t, d, numbered("s", i, i+1)...)
		ack1(t, c, take(t, c, "s", 1)...)
	}
	accepted(t, d, numbered("s", 0, 1)...)
	oldest := take(t, c, "s", 1)
	for i := range 5 * backlog {
		accepted(t, d, numbered("s", i, i+1)...)
		ack1(t, c, take(t, c, "s", 1)...)
	}
	pending := func(n int64) {
		t.Helper()
		for deadline := time.Now().Add(within); ; time.Sleep(2 * roomEvery) { // after it no answer of before is believed
			l, err := d.Lag(t.Context(), "s", "workers")
			if err == nil && l.Pending+l.Waiting == n {
				time.Sleep(2 * roomEvery)
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("the lag is %+v, %v; want %d pending", l, err, n)
			}
		}
	}
	pending(1) // so there is room for nine
	accepted(t, d, numbered("s", 0, backlog-1)...)
	if r := publish(d, numbered("s", 0, 1)...)[0]; r.Outcome != transport.OutcomeRejected || !transport.IsCode(r.Err, transport.CodeFull) {
		t.Errorf("one more: %v, %v", r.Outcome, r.Err)
	}
	ack1(t, c, oldest...)
	ack1(t, c, take(t, c, "s", backlog-1)...)
	pending(0)
	accepted(t, d, numbered("s", 0, backlog)...)
	if r := publish(d, numbered("s", 0, 1)...)[0]; !transport.IsCode(r.Err, transport.CodeFull) {
		t.Errorf("with %d waiting, one more: %v", backlog, r.Err)
	}
}

// A group that is deleted by hand loses nothing that it had not settled: it is made again behind what it had.
func TestDeletedGroupLosesNothing(t *testing.T) {
	n := server(t, brokers.NATSConfig{})
	js := admin(t, n.Addr)
	d, e := open(t, n.URL)
	c := ensure(t, d, transport.StreamSpec{Stream: "s", Groups: []string{"workers"}})
	accepted(t, d, numbered("s", 0, 20)...)
	ack1(t, c, take(t, c, "s", 5)...)
	for deadline := time.Now().Add(within); e.count(transport.EventTrimmed) < 5; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing was trimmed")
		}
	}
	if err := js.DeleteConsumer(t.Context(), jsStream("s"), token("workers")); err != nil {
		t.Fatal(err)
	}
	accepted(t, d, numbered("s", 20, 25)...)
	got := bodies(take(t, c, "s", 20))
	for i := 5; i < 25; i++ {
		if !got[fmt.Sprint(i)] {
			t.Errorf("message %d is lost", i)
		}
	}
}

// An ack has no answer: what this process counted as settled when it trimmed may reach the server only afterwards.
func TestSettledLateIsTrimmed(t *testing.T) {
	n := server(t, brokers.NATSConfig{})
	js := admin(t, n.Addr)
	d, _ := open(t, n.URL)
	c := ensure(t, d, transport.StreamSpec{Stream: "s", Groups: []string{"workers"}})
	accepted(t, d, numbered("s", 0, 3)...)
	got := take(t, c, "s", 3)
	s := d.trims.of("s")
	s.settled.Add(3) // counted, and not there yet
	eventually(t, "a turn that trims nothing", func() error {
		if n := s.settled.Load(); n != 0 {
			return fmt.Errorf("%d are still counted", n)
		}
		return nil
	})
	ack1(t, c, got...)
	s.settled.Store(0)
	eventually(t, "an empty stream", func() error {
		info, err := js.Stream(t.Context(), jsStream("s"))
		if err == nil && info.CachedInfo().State.Msgs != 0 {
			err = fmt.Errorf("%d messages are left", info.CachedInfo().State.Msgs)
		}
		return err
	})
}
