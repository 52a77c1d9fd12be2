package mem

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// setup makes a driver with one stream "s", group "g" and one consumer with a lease of 3 s.
func setup(t *testing.T) (*Driver, transport.Consumer) {
	t.Helper()
	d := New()
	t.Cleanup(func() { _ = d.Close(context.Background()) })
	if err := d.Ensure(context.Background(), []transport.StreamSpec{{Stream: "s", Groups: []string{"g"}}}); err != nil {
		t.Fatal(err)
	}
	return d, join(t, d)
}

func join(t *testing.T, d *Driver) transport.Consumer {
	t.Helper()
	c, err := d.Join(context.Background(), transport.Subscription{Group: "g"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func publish(d *Driver, stream string, bodies ...string) []transport.Result {
	msgs := make([]transport.Message, len(bodies))
	for i, b := range bodies {
		msgs[i] = transport.Message{Stream: stream, Body: []byte(b)}
	}
	rs := make([]transport.Result, len(msgs))
	d.Publish(context.Background(), msgs, rs)
	return rs
}

func receive(t *testing.T, c transport.Consumer, wait time.Duration) []transport.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	ds, err := c.Receive(ctx, 10, []transport.Credit{{Stream: "s", Max: 10}})
	if err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
	return ds
}

func settle(c transport.Consumer, s transport.Settlement) error {
	errs := make([]error, 1)
	c.Settle(context.Background(), []transport.Settlement{s}, errs)
	return errs[0]
}

// Another consumer gets a delivery exactly when its lease ends; then the first owner is stale.
func TestLeaseEndFreesDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, a := setup(t)
		defer d.Close(t.Context())
		publish(d, "s", "x")
		b := join(t, d)
		got := receive(t, a, time.Second)
		start := time.Now()
		again := receive(t, b, time.Minute)
		if len(got) != 1 || len(again) != 1 || again[0].Attempt != 2 || time.Since(start) != transport.DefaultLease {
			t.Fatalf("first %v, again %v after %v", got, again, time.Since(start))
		}
		if err := settle(a, transport.Settlement{Delivery: &got[0], Verb: transport.Ack}); !transport.IsCode(err, transport.CodeStale) {
			t.Fatalf("ack by the first owner: %v", err)
		}
		if err := settle(b, transport.Settlement{Delivery: &again[0], Verb: transport.Ack}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestReleaseDelayIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, a := setup(t)
		defer d.Close(t.Context())
		publish(d, "s", "x")
		got := receive(t, a, time.Second)
		if err := settle(a, transport.Settlement{Delivery: &got[0], Verb: transport.Release, Delay: 30 * time.Second}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		got = receive(t, a, time.Minute)
		if len(got) != 1 || got[0].Attempt != 2 || time.Since(start) != 30*time.Second {
			t.Fatalf("got %v after %v", got, time.Since(start))
		}
	})
}

// A settled flow leaves nothing behind, and costs no allocation for publishing.
func TestPublishDoesNotAllocate(t *testing.T) {
	d, c := setup(t)
	msgs := []transport.Message{{Stream: "s", Body: make([]byte, 128)}}
	rs, errs := make([]transport.Result, 1), make([]error, 1)
	credits := []transport.Credit{{Stream: "s", Max: 1}}
	n := testing.AllocsPerRun(1000, func() {
		d.Publish(context.Background(), msgs, rs)
		ds, _ := c.Receive(context.Background(), 1, credits)
		c.Settle(context.Background(), []transport.Settlement{{Delivery: &ds[0], Verb: transport.Ack}}, errs)
	})
	if n > 4 { // delivery with its lease, its id, its body, and the batch made here
		t.Errorf("%v allocations a message, want at most 4", n)
	}
	if s := d.b.streams["s"]; s.n != 0 || s.log.head != nil {
		t.Errorf("%d entries left", s.n)
	}
}
