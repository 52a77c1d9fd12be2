package faults

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestEverythingDeleted: FLUSHALL and then DEL of the live stream, under load. Pass: after each, calls succeed within 5 s,
// ten in a row.
func TestEverythingDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.worker(nil)
	client, _ := w.client()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var wg sync.WaitGroup
	var good atomic.Int64
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := client.Call(ctx, w.request("echo", "x", time.Second)); err == nil {
					good.Add(1)
				}
			}
		})
	}
	tenInARow := func(what string) {
		t.Helper()
		began := time.Now()
		row := 0
		eventually(t, 5*time.Second+slack, "ten good calls after "+what, func() bool {
			for ; row < 10; row++ {
				if _, err := client.Call(ctx, w.request("echo", "y", 500*time.Millisecond)); err != nil {
					row = 0
					return false
				}
			}
			return true
		})
		t.Logf("back %v after %s", time.Since(began), what)
	}
	tenInARow("the start")
	if err := w.admin.FlushAll(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	tenInARow("FLUSHALL")
	if n, err := w.admin.Del(ctx, w.key()).Result(); err != nil || n != 1 {
		t.Fatalf("DEL: %d, %v", n, err)
	}
	tenInARow("DEL")
	stop()
	wg.Wait()
	if good.Load() == 0 {
		t.Error("no load")
	}
	w.drained(10 * time.Second)
}
