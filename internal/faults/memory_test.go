package faults

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/streamerson/streamerson/rpc"
)

// TestMemoryFull makes Redis's memory full (noeviction) while a call and one-way messages are being handled; the limit is
// lowered below what is in use, which is what full means to Redis. Pass: new calls fail with unavailable within 1 s; the
// one-way messages are acked all the same; the call whose reply can't be stored stays pending. With room again, and nobody's
// help, the call gets its reply, having run once, and new calls succeed within 2 s.
func TestMemoryFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	if err := w.admin.ConfigSet(ctx, "maxmemory-policy", "noeviction").Err(); err != nil {
		t.Fatal(err)
	}
	w.worker(nil)
	client, _ := w.client()
	called := callLater(client, w.request("effect", "kept 2000", 60*time.Second))
	const oneWay = 20
	for i := range oneWay {
		if err := client.Send(ctx, w.request("effect", "way"+strconv.Itoa(i)+" 2000", 0)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 5*time.Second, "all to begin", func() bool { return len(ranTimes(t, runs(w.stream))) == oneWay+1 })
	if n := w.pending(); n != oneWay+1 {
		t.Fatalf("%d pending, want %d: the memory was filled too late", n, oneWay+1)
	}
	if err := w.admin.ConfigSet(ctx, "maxmemory", "1mb").Err(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		got := within(t, time.Second+slack, callLater(client, w.request("effect", "refused", 20*time.Second)))
		e, ok := got.err.(*rpc.Error)
		if !ok || e.Code != rpc.CodeUnavailable || e.RetryAfter == 0 {
			t.Errorf("got %+v", got.err)
		}
	}
	eventually(t, 10*time.Second, "the one-way messages to be acked", func() bool { return w.pending() == 1 })
	time.Sleep(time.Second) // a lease: the worker has to renew it, and to keep the reply
	select {
	case got := <-called:
		t.Fatalf("the call ended while its reply could not be stored: %+v", got)
	default:
	}
	if n := w.pending(); n != 1 {
		t.Errorf("%d pending: the refused reply was acked away", n)
	}
	if err := w.admin.ConfigSet(ctx, "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if got := within(t, 5*time.Second+slack, called); got.err != nil || string(got.resp.Body) != "kept" {
		t.Errorf("after the relief: %+v", got)
	}
	w.backWithin(client, 2*time.Second+slack)
	w.drained(10 * time.Second)
	ran := ranTimes(t, runs(w.stream))
	if len(ran) != oneWay+1 {
		t.Errorf("ran: %v", ran)
	}
	for name, n := range ran {
		if n != "1" {
			t.Errorf("request %s ran %s times", name, n)
		}
	}
}
