package nats

import (
	"testing"
	"time"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/transport"
)

// A server that is stopped takes no more than the system's buffers hold. No call waits for it longer than Silence, and afterwards
// all subscriptions are there again: none was lost with what could not be written.
func TestStalledServerHoldsNobody(t *testing.T) {
	n := server(t, brokers.NATSConfig{})
	d, _ := open(t, n.URL+"?timeout=500ms")
	c := ensure(t, d, transport.StreamSpec{Stream: "s", Groups: []string{"workers"}})
	tail, err := d.Tail(t.Context(), transport.TailSpec{Name: "before"})
	if err != nil {
		t.Fatal(err)
	}
	accepted(t, d, numbered("s", 0, 1)...)
	held := take(t, c, "s", 1)
	msgs := make([]transport.Message, 64)
	for i := range msgs {
		msgs[i] = transport.Message{Stream: "s", Body: make([]byte, 512<<10)} // 32 MiB
	}
	if err := n.Pause(); err != nil {
		t.Fatal(err)
	}
	limit := d.Capabilities().Silence + within // a loaded machine copies slowly
	timed := func(what string, do func()) {
		t.Helper()
		start := time.Now()
		do()
		if took := time.Since(start); took > limit {
			t.Errorf("%s took %v, Silence is %v", what, took, d.Capabilities().Silence)
		}
	}
	for range 3 {
		timed("Publish", func() {
			for i, r := range publish(d, msgs...) {
				if r.Err == nil {
					t.Errorf("message %d was accepted by a stopped server", i)
				}
			}
		})
		timed("Settle", func() {
			errs := make([]error, 1)
			c.Settle(t.Context(), []transport.Settlement{{Delivery: &held[0], Verb: transport.Extend}}, errs)
			if errs[0] == nil {
				t.Error("a stopped server has extended a lease")
			}
		})
	}
	if err := n.Resume(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(4 * within); ; time.Sleep(20 * time.Millisecond) {
		rs := publish(d, transport.Message{Stream: tail.Address(), Lane: true, Body: []byte("lane")}, transport.Message{Stream: "s", Body: []byte("after")})
		if rs[0].Err == nil && rs[1].Err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it did not come back: %v, %v", rs[0].Err, rs[1].Err)
		}
	}
	ctx, cancel := contextUntil(t, time.Now().Add(4*within))
	defer cancel()
	if got, err := tail.Receive(ctx, 1); err != nil || string(got[0]) != "lane" {
		t.Errorf("the lane of before: %q, %v", got, err)
	}
	for deadline := time.Now().Add(4 * within); get(t, c, "s") != "after"; { // what was sent before the stop may be stored
		if time.Now().After(deadline) {
			t.Fatal("the stream of before brings nothing new")
		}
	}
}
