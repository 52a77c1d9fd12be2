package nats

import (
	"context"
	"maps"
	"testing"
	"time"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/transport"
)

// What comes beyond what a process can hold is dropped and counted, and what it holds is received.
func TestCoreCountsWhatItDrops(t *testing.T) {
	const more = 300
	n := server(t, brokers.NATSConfig{NoJetStream: true})
	d, e := open(t, "nats+core://"+n.Addr+"?timeout=10s")
	c := ensure(t, d, transport.StreamSpec{Stream: "s", Groups: []string{"workers"}})
	for i := 0; i < coreQueue+more; i += 64 {
		accepted(t, d, numbered("s", i, min(i+64, coreQueue+more))...)
	}
	deadline := time.Now().Add(4 * within)
	for e.count(transport.EventDeleted) < more {
		if time.Now().After(deadline) {
			t.Fatalf("%d are reported as dropped, want %d", e.count(transport.EventDeleted), more)
		}
		time.Sleep(10 * time.Millisecond)
	}
	got := bodies(take(t, c, "s", coreQueue))
	if len(got) != coreQueue || !got["0"] || !got["8191"] {
		t.Errorf("%d different messages came", len(got))
	}
	if dropped := e.count(transport.EventDeleted); dropped != more {
		t.Errorf("%d are reported as dropped, want %d", dropped, more)
	}
}

// Two members of one group that serve different streams get each what is for theirs: a member that went on holding a stream
// which it does not serve would keep its requests until their callers give up.
func TestCoreMembersServeTheirOwnStreams(t *testing.T) {
	const n = 40
	srv := server(t, brokers.NATSConfig{NoJetStream: true})
	d, _ := open(t, "nats+core://"+srv.Addr)
	specs := []transport.StreamSpec{{Stream: "one", Groups: []string{"workers"}}, {Stream: "two", Groups: []string{"workers"}}}
	if err := d.Ensure(t.Context(), specs); err != nil {
		t.Fatal(err)
	}
	members := map[string]transport.Consumer{}
	for _, sp := range specs {
		members[sp.Stream] = ensure(t, d, sp)
	}
	// What comes before a member has said what it serves may wait at either: it is handed on then.
	accepted(t, d, numbered("one", 0, n)...)
	accepted(t, d, numbered("two", 0, n)...)
	got := map[string]map[string]bool{"one": {}, "two": {}}
	for deadline := time.Now().Add(within); len(got["one"]) < n || len(got["two"]) < n; {
		if time.Now().After(deadline) {
			t.Fatalf("of one came %d early messages and of two %d, want %d of each", len(got["one"]), len(got["two"]), n)
		}
		for stream, c := range members {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			ds, _ := c.Receive(ctx, n, []transport.Credit{{Stream: stream, Max: n}})
			cancel()
			maps.Copy(got[stream], bodies(ds))
		}
	}
	accepted(t, d, numbered("one", n, 2*n)...)
	accepted(t, d, numbered("two", n, 2*n)...)
	for stream, c := range members {
		if got := len(bodies(take(t, c, stream, n))); got != n {
			t.Errorf("of %s came %d messages, want %d", stream, got, n)
		}
	}
	// A stream that is ensured later is nobody's until a member lists it.
	late := transport.StreamSpec{Stream: "late", Groups: []string{"workers"}}
	if err := d.Ensure(t.Context(), []transport.StreamSpec{late}); err != nil {
		t.Fatal(err)
	}
	results := make([]transport.Result, 1)
	d.Publish(t.Context(), numbered("late", 0, 1), results)
	if !transport.IsCode(results[0].Err, transport.CodeUnavailable) {
		t.Errorf("a request to a stream that no member lists: %v, want CodeUnavailable", results[0].Err)
	}
}
