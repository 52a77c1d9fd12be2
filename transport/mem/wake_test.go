package mem

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// waiter is a consumer that blocks in Receive with the given credits.
type waiter struct {
	c    transport.Consumer
	stop context.CancelFunc
	got  chan []transport.Delivery
}

func block(t *testing.T, d *Driver, limit int, streams ...string) waiter {
	t.Helper()
	var credits []transport.Credit
	for _, s := range streams {
		credits = append(credits, transport.Credit{Stream: s, Max: limit})
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := waiter{c: join(t, d), stop: cancel, got: make(chan []transport.Delivery, 1)}
	go func() {
		ds, _ := w.c.Receive(ctx, limit, credits)
		w.got <- ds
	}()
	return w
}

// A lease that begins while another consumer is blocked already wakes that one when it ends, to the moment.
func TestLeaseEndWakesOneThatBlockedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := setup(t)
		defer d.Close(t.Context())
		a, b := block(t, d, 1, "s"), block(t, d, 1, "s")
		synctest.Wait()
		publish(d, "s", "x")
		start := time.Now()
		select {
		case <-a.got:
		case <-b.got:
			a, b = b, a
		}
		if ds := <-b.got; len(ds) != 1 || ds[0].Attempt != 2 || time.Since(start) != transport.DefaultLease {
			t.Errorf("got %v after %v", ds, time.Since(start))
		}
		a.stop()
		b.stop()
	})
}

// Extending one of two deliveries does not hide the end of the other's lease.
func TestExtendedLeaseHidesNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, a := setup(t)
		defer d.Close(t.Context())
		publish(d, "s", "x", "y")
		start := time.Now()
		held := receive(t, a, time.Second)
		time.Sleep(time.Second)
		if err := settle(a, transport.Settlement{Delivery: &held[0], Verb: transport.Extend}); err != nil {
			t.Fatal(err)
		}
		b := join(t, d)
		for i, want := range []time.Duration{transport.DefaultLease, transport.DefaultLease + time.Second} {
			ds := receive(t, b, time.Minute)
			if len(ds) != 1 || ds[0].ID != held[1-i].ID || time.Since(start) != want {
				t.Fatalf("got %v after %v, want it after %v", ds, time.Since(start), want)
			}
			if err := settle(b, transport.Settlement{Delivery: &ds[0], Verb: transport.Ack}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A consumer that was woken for one stream and takes from another leaves the first to a consumer that waits for it.
func TestWokenForOneTakesAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := setup(t)
		defer d.Close(t.Context())
		if err := d.Ensure(t.Context(), []transport.StreamSpec{{Stream: "first", Groups: []string{"g"}}}); err != nil {
			t.Fatal(err)
		}
		for _, bFirst := range []bool{true, false, true, false} {
			var a, b waiter
			if bFirst {
				b = block(t, d, 1, "s")
				synctest.Wait()
			}
			a = block(t, d, 1, "first", "s")
			synctest.Wait()
			if !bFirst {
				b = block(t, d, 1, "s")
				synctest.Wait()
			}
			d.b.mu.Lock() // both arrive before anyone runs
			now, buf := d.b.now(), newArena(0)
			for _, s := range []string{"s", "first"} {
				m := &transport.Message{Stream: s, Body: []byte(s)}
				d.publish(m, &buf, now)
				d.wake(m)
			}
			d.unlock()
			synctest.Wait()
			for _, w := range []waiter{a, b} {
				select {
				case ds := <-w.got:
					if err := settle(w.c, transport.Settlement{Delivery: &ds[0], Verb: transport.Ack}); err != nil {
						t.Error(err)
					}
				default:
					t.Error("a message waits, and so does a consumer with credit for it")
				}
				w.stop()
				_ = w.c.Close(t.Context())
			}
		}
	})
}

// A consumer whose context ended before it could follow a wake-up passes it on.
func TestCancelledPassesItsWakeUpOn(t *testing.T) {
	d, _ := setup(t)
	for range 4 { // whoever's turn it is
		ws := []waiter{block(t, d, 1, "s"), block(t, d, 1, "s")}
		time.Sleep(10 * time.Millisecond)
		d.b.mu.Lock()
		ws[0].stop()
		time.Sleep(10 * time.Millisecond) // it has left the wait, and waits for the lock
		m, buf := &transport.Message{Stream: "s"}, newArena(0)
		d.publish(m, &buf, d.b.now())
		d.wake(m)
		d.unlock()
		select {
		case ds := <-ws[1].got:
			if err := settle(ws[1].c, transport.Settlement{Delivery: &ds[0], Verb: transport.Ack}); err != nil {
				t.Error(err)
			}
		case <-time.After(time.Second):
			t.Fatal("the message was not delivered to the consumer that waits")
		}
		ws[1].stop()
		_, _ = ws[0].c.Close(t.Context()), ws[1].c.Close(t.Context())
	}
}

// What a consumer holds when it is closed comes at once to one that is blocked.
func TestCloseFreesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, a := setup(t)
		defer d.Close(t.Context())
		publish(d, "s", "x")
		receive(t, a, time.Second)
		b := block(t, d, 1, "s")
		synctest.Wait()
		start := time.Now()
		_ = a.Close(t.Context())
		if ds := <-b.got; len(ds) != 1 || ds[0].Attempt != 2 || time.Since(start) != 0 {
			t.Errorf("got %v after %v", ds, time.Since(start))
		}
	})
}
