package rpc_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
)

// again has n requests to "s" delivered for the attempts-th time at least, and returns a server for them. It has taken none yet.
func again(t *testing.T, w *world, n, attempts int, takes func(i string) time.Duration) (run func(), began func() string) {
	t.Helper()
	if err := w.d.Ensure(t.Context(), []transport.StreamSpec{{Stream: "s", Groups: []string{rpc.DefaultGroup}}}); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		w.inject(wire.Append(nil, &wire.Envelope{Kind: wire.KindRequest, ID: rpc.NewID(), Attempt: 1, Function: "f", Body: fmt.Append(nil, i)}))
	}
	first, err := w.d.Join(t.Context(), transport.Subscription{Group: rpc.DefaultGroup, Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for range attempts - 1 {
		if got, err := first.Receive(t.Context(), n, []transport.Credit{{Stream: "s", Max: n}}); err != nil || len(got) != n {
			t.Fatal(len(got), err)
		}
		w.broker.ExpireLeases("s")
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var order string
	return func() {
			w.serve(rpc.ServerConfig{}, map[string]rpc.Handler{"f": func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
				mu.Lock()
				order += fmt.Sprintf("%s@%d ", r.Body, r.Attempt)
				mu.Unlock()
				time.Sleep(takes(string(r.Body)))
				return nil, nil
			}})
			time.Sleep(10 * time.Second)
		}, func() string {
			mu.Lock()
			defer mu.Unlock()
			return order
		}
}

// What was delivered before runs one after the other, in turned order at every other attempt: one that ends the process takes only
// those behind it along, and those were before it the last time.
func TestSuspectsTakeTurns(t *testing.T) {
	for attempt, want := range map[int]string{2: "3@2 2@2 1@2 0@2 ", 3: "0@3 1@3 2@3 3@3 "} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, rpc.ClientConfig{NoWorkerWait: -1})
			run, began := again(t, w, 4, attempt, func(string) time.Duration { return 10 * time.Millisecond })
			run()
			if got := began(); got != want {
				t.Errorf("ran %s, want %s", got, want)
			}
		})
	}
}

// One that takes its time holds the others up for no longer than a tenth of a second.
func TestSlowSuspectHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{NoWorkerWait: -1})
		start := time.Now()
		var mu sync.Mutex
		var last time.Duration
		run, _ := again(t, w, 4, 3, func(string) time.Duration {
			mu.Lock()
			last = max(last, time.Since(start))
			mu.Unlock()
			return 5 * time.Second
		})
		run()
		mu.Lock()
		defer mu.Unlock()
		if last > 200*time.Millisecond {
			t.Errorf("the last one began after %v", last)
		}
	})
}

// A suspect begins when the answers before it have been accepted.
func TestSuspectsWaitForSettlements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{NoWorkerWait: -1})
		pending := make(chan int64, 4)
		run, _ := again(t, w, 4, 3, func(string) time.Duration {
			l, err := w.d.Lag(t.Context(), "s", rpc.DefaultGroup)
			if err != nil {
				t.Error(err)
			}
			pending <- l.Pending
			return 0
		})
		run()
		for want := int64(4); want > 0; want-- {
			if got := <-pending; got != want {
				t.Errorf("%d are pending as one begins, want %d", got, want)
			}
		}
	})
}
