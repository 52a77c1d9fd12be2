package mem

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamerson/streamerson/transport"
)

func TestFailPublishes(t *testing.T) {
	d, c := setup(t)
	d.b.FailPublishes("s", 1, Fault{Outcome: transport.OutcomeUnknown, Code: transport.CodeTimeout, Store: true})
	d.b.FailPublishes("s", 1, Fault{Outcome: transport.OutcomeRejected, Code: transport.CodeFull})
	rs := publish(d, "s", "stored", "refused", "fine")
	if rs[0].Outcome != transport.OutcomeUnknown || !transport.IsCode(rs[0].Err, transport.CodeTimeout) ||
		rs[1].Outcome != transport.OutcomeRejected || !transport.IsCode(rs[1].Err, transport.CodeFull) || rs[2].Err != nil {
		t.Errorf("results %v", rs)
	}
	ds := receive(t, c, time.Second)
	if len(ds) != 2 || string(ds[0].Body) != "stored" || string(ds[1].Body) != "fine" {
		t.Errorf("deliveries %v", ds)
	}
}

// A reply that could not be stored leaves the delivery leased; so does an ack that was lost after its reply.
func TestFailedReplyAndLostAck(t *testing.T) {
	d, c := setup(t)
	lane, err := d.Tail(t.Context(), transport.TailSpec{})
	if err != nil {
		t.Fatal(err)
	}
	publish(d, "s", "x")
	x := receive(t, c, time.Second)[0]
	s := transport.Settlement{Delivery: &x, Verb: transport.Ack, Reply: &transport.Message{Stream: lane.Address(), Lane: true, Body: []byte("re")}}
	pending := func() int64 {
		l, err := d.Lag(t.Context(), "s", "g")
		if err != nil {
			t.Fatal(err)
		}
		return l.Pending
	}
	d.b.FailPublishes(lane.Address(), 1, Fault{Outcome: transport.OutcomeUnknown, Code: transport.CodeUnavailable})
	if err := settle(c, s); !transport.IsCode(err, transport.CodeUnavailable) || pending() != 1 {
		t.Errorf("failed reply: %v, %d pending", err, pending())
	}
	d.b.FailAcks(1)
	if err := settle(c, s); !transport.IsCode(err, transport.CodeUnavailable) || pending() != 1 {
		t.Errorf("lost ack: %v, %d pending", err, pending())
	}
	if err := settle(c, s); err != nil || pending() != 0 {
		t.Errorf("at last: %v, %d pending", err, pending())
	}
	bodies, err := lane.Receive(t.Context(), 10)
	if len(bodies) != 2 || err != nil {
		t.Errorf("%d replies, %v; want 2: one with the lost ack, one after", len(bodies), err)
	}
	d.b.DropLane(lane.Address())
	publish(d, "s", "y")
	x = receive(t, c, time.Second)[0]
	if err := settle(c, s); !transport.IsCode(err, transport.CodeNotFound) {
		t.Errorf("reply to a dropped lane: %v", err)
	}
}

func TestKillKeepsLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := setup(t)
		defer d.Close(t.Context())
		worker := d.Broker().Open(transport.Options{})
		w := join(t, worker)
		publish(d, "s", "x")
		held := receive(t, w, time.Second)
		worker.Kill()
		start := time.Now()
		if err := settle(w, transport.Settlement{Delivery: &held[0], Verb: transport.Ack}); !transport.IsCode(err, transport.CodeClosed) {
			t.Errorf("ack after Kill: %v", err)
		}
		got := receive(t, join(t, d), time.Minute)
		if len(got) != 1 || got[0].Attempt != 2 || time.Since(start) != transport.DefaultLease {
			t.Errorf("got %v after %v", got, time.Since(start))
		}
	})
}

func TestPauseHoldsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, c := setup(t)
		defer d.Close(t.Context())
		var got []transport.Delivery
		go func() { got = receive(t, c, time.Minute) }()
		synctest.Wait()
		resume := d.b.Pause()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		rs := make([]transport.Result, 1)
		d.Publish(ctx, []transport.Message{{Stream: "s"}}, rs)
		if rs[0].Outcome != transport.OutcomeRejected || !transport.IsCode(rs[0].Err, transport.CodeTimeout) {
			t.Errorf("while paused: %v", rs[0])
		}
		go publish(d, "s", "x")
		time.Sleep(10 * time.Second)
		if len(got) != 0 {
			t.Errorf("%d deliveries while paused", len(got))
		}
		resume()
		synctest.Wait()
		if len(got) != 1 {
			t.Errorf("%d deliveries after it", len(got))
		}
	})
}

func TestExpireLeasesAndEvents(t *testing.T) {
	var events []transport.Event
	d := NewBroker(Config{}).Open(transport.Options{OnEvent: func(e transport.Event) { events = append(events, e) }})
	defer d.Close(t.Context())
	if err := d.Ensure(t.Context(), []transport.StreamSpec{{Stream: "s", Groups: []string{"g"}}}); err != nil {
		t.Fatal(err)
	}
	c := join(t, d)
	publish(d, "s", "x", "y")
	first := receive(t, c, time.Second)
	d.b.ExpireLeases("s")
	// A lease that ended and that nobody took is still its owner's to settle.
	if err := settle(c, transport.Settlement{Delivery: &first[0], Verb: transport.Ack}); err != nil {
		t.Errorf("ack of an ended lease: %v", err)
	}
	again := receive(t, c, time.Second)
	if len(again) != 1 || again[0].Attempt != 2 || again[0].ID != first[1].ID {
		t.Errorf("redelivered %v", again)
	}
	d.b.Wipe()
	if rs := publish(d, "s", "z"); rs[0].Err != nil {
		t.Errorf("publish after Wipe: %v", rs[0].Err)
	}
	if err := settle(c, transport.Settlement{Delivery: &again[0], Verb: transport.Extend}); !transport.IsCode(err, transport.CodeNotFound) {
		t.Errorf("extend after Wipe: %v", err)
	}
	if err := settle(c, transport.Settlement{Delivery: &again[0], Verb: transport.Ack}); err != nil {
		t.Errorf("ack after Wipe: %v", err)
	}
	if got := receive(t, c, time.Second); len(got) != 1 || string(got[0].Body) != "z" || got[0].ID == first[0].ID || got[0].ID == first[1].ID {
		t.Errorf("after Wipe: %v", got)
	}
	want := []transport.EventKind{transport.EventRedelivered, transport.EventRecreated}
	if len(events) != 2 || events[0].Kind != want[0] || events[1].Kind != want[1] || events[0].N != 1 {
		t.Errorf("events %v, want %v", events, want)
	}
}
