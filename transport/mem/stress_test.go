package mem

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// Consumers that come and go, cancel, release, let leases run out and ack, over several streams: each message is acked
// exactly once without error, and in the end nothing is left in memory.
func TestNothingIsLostUnderChurn(t *testing.T) {
	const streams, each, workers = 4, 500, 6
	b := NewBroker(Config{})
	d := b.Open(transport.Options{})
	defer d.Close(context.Background())
	var names []string
	for i := range streams {
		names = append(names, fmt.Sprint("s", i))
		if err := d.Ensure(t.Context(), []transport.StreamSpec{{Stream: names[i], Groups: []string{"g", "h"}}}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var mu sync.Mutex
	acked := map[string]int{}
	left := streams * each * 2
	work := func(seed uint64) {
		r := rand.New(rand.NewPCG(seed, 3))
		for ctx.Err() == nil {
			w := b.Open(transport.Options{})
			group := []string{"g", "h"}[r.IntN(2)]
			c, err := w.Join(ctx, transport.Subscription{Group: group, Lease: 20 * time.Millisecond})
			if err != nil {
				return
			}
			for range r.IntN(30) {
				credits := make([]transport.Credit, 0, streams)
				for _, i := range r.Perm(streams)[:1+r.IntN(streams)] {
					credits = append(credits, transport.Credit{Stream: names[i], Max: r.IntN(4)})
				}
				rctx, stop := context.WithTimeout(ctx, time.Duration(r.IntN(3_000))*time.Microsecond)
				ds, err := c.Receive(rctx, 1+r.IntN(8), credits)
				stop()
				if err != nil {
					continue
				}
				for i := range ds {
					x := r.IntN(10)
					s := transport.Settlement{Delivery: &ds[i], Verb: transport.Ack}
					if x == 0 {
						continue // left to its lease
					} else if x <= 2 {
						s.Verb, s.Delay = transport.Release, time.Duration(r.IntN(5))*time.Millisecond
					}
					if settle(c, s) == nil && s.Verb == transport.Ack {
						mu.Lock()
						acked[group+ds[i].Stream+string(ds[i].Body)]++
						if left--; left == 0 {
							cancel()
						}
						mu.Unlock()
					}
				}
			}
			if r.IntN(2) == 0 {
				w.Kill()
			} else {
				_ = w.Close(ctx)
			}
		}
	}
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() { work(uint64(i)) })
	}
	for i := range each {
		for _, s := range names {
			publish(d, s, fmt.Sprint(".", i))
		}
	}
	wg.Wait()
	if len(acked) != streams*each*2 || left != 0 {
		t.Errorf("%d messages acked, want %d; %d acks missing", len(acked), streams*each*2, left)
	}
	for _, name := range names {
		s := b.streams[name]
		if s.n != 0 || s.log.head != nil {
			t.Errorf("%d entries left in %s", s.n, name)
		}
		for _, g := range s.groups {
			g.collect(b.now())
			if g.pending != 0 || g.leased != 0 || g.waiting != 0 || g.ready.head != nil || g.delayed.head != nil || len(g.members) != 0 {
				t.Errorf("left in %s of %s: %d pending, %d leased, %d waiting, %d members", g.name, name, g.pending, g.leased, g.waiting, len(g.members))
			}
		}
	}
}

// One publisher, one reader, an ack for each: the cost of the transport itself in a call.
func BenchmarkFlow(b *testing.B) {
	for _, batch := range []int{1, 64} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			d := New()
			defer d.Close(context.Background())
			_ = d.Ensure(context.Background(), []transport.StreamSpec{{Stream: "s", Groups: []string{"g"}}})
			c, _ := d.Join(context.Background(), transport.Subscription{Group: "g"})
			msgs, rs := make([]transport.Message, batch), make([]transport.Result, batch)
			for i := range msgs {
				msgs[i] = transport.Message{Stream: "s", Body: make([]byte, 128)}
			}
			ss, errs := make([]transport.Settlement, batch), make([]error, batch)
			credits := []transport.Credit{{Stream: "s", Max: batch}}
			b.ReportAllocs()
			for i := 0; i < b.N; i += batch {
				d.Publish(context.Background(), msgs, rs)
				ds, err := c.Receive(context.Background(), batch, credits)
				if err != nil || len(ds) != batch {
					b.Fatal(len(ds), err)
				}
				for i := range ds {
					ss[i] = transport.Settlement{Delivery: &ds[i], Verb: transport.Ack}
				}
				c.Settle(context.Background(), ss, errs)
			}
		})
	}
}
