package faults

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/streamerson/streamerson/rpc"
)

// TestPoisonBesideGoodTraffic publishes 10,000 undecodable frames beside good calls. Pass: every one is in the dead letter
// stream, as it was, with cause "undecodable" and a text; no good call fails; the good calls' p99 is at most twice that
// without poison (medians of windows with and without, in turn; 20 ms are allowed for the noise of a shared machine).
func TestPoisonBesideGoodTraffic(t *testing.T) {
	const (
		total   = 10_000
		windows = 5
		chunk   = 50
		length  = time.Second
		noise   = 20 * time.Millisecond
	)
	w := newWorld(t)
	for range 2 {
		w.worker(nil)
	}
	client, _, d := w.clientAt(w.broker.URL, rpc.ClientConfig{})
	next := 0
	window := func(poison bool) time.Duration {
		ctx, stop := context.WithTimeout(context.Background(), length)
		defer stop()
		var mu sync.Mutex
		var took []time.Duration
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for ctx.Err() == nil {
					began := time.Now()
					if _, err := client.Call(context.Background(), w.request("echo", "good", 10*time.Second)); err != nil {
						t.Errorf("a good call failed: %v", err)
						return
					}
					mu.Lock()
					took = append(took, time.Since(began))
					mu.Unlock()
					time.Sleep(5 * time.Millisecond)
				}
			})
		}
		if poison {
			pause := length / (total / windows / chunk)
			for range total / windows / chunk {
				frames := make([][]byte, chunk)
				for i := range frames {
					frames[i] = fmt.Appendf(nil, "poison %d", next)
					next++
				}
				publishRaw(t, d, w.stream, frames...)
				time.Sleep(pause * 8 / 10)
			}
		}
		wg.Wait()
		slices.Sort(took)
		return took[len(took)*99/100]
	}
	window(false) // warms up
	var clean, beside []time.Duration
	for range windows {
		clean, beside = append(clean, window(false)), append(beside, window(true))
		w.drained(30 * time.Second) // what poison left behind must not slow the windows without it
	}
	slices.Sort(clean)
	slices.Sort(beside)
	a, b := clean[windows/2], beside[windows/2]
	t.Logf("p99 without poison %v, with %v: ratio of medians %.2f, of the calmest windows %.2f (%v; %v)",
		a, b, float64(b)/float64(a), float64(beside[0])/float64(clean[0]), clean, beside)
	if b > 2*a+noise {
		t.Errorf("p99 is %v beside poison, %v without", b, a)
	}

	w.drained(20 * time.Second)
	dead := w.dead(d)
	frames := map[string]bool{}
	for _, l := range dead {
		frames[string(l.Frame)] = true
		if l.Header.Get(rpc.DeadHeaderCause) != string(rpc.DeadUndecodable) || l.Header.Get(rpc.DeadHeaderError) == "" || l.Header.Get(rpc.DeadHeaderStream) != w.stream {
			t.Fatalf("dead letter %+v", l)
		}
	}
	for i := range total {
		if !frames[fmt.Sprintf("poison %d", i)] {
			t.Fatalf("poison %d is not in the dead letter stream; %d are", i, len(frames))
		}
	}
	if len(dead) != total {
		t.Errorf("%d dead letters, want %d", len(dead), total)
	}
}
