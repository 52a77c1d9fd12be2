package nats

import (
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
