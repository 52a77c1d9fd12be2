package nats

import (
	"testing"
	"time"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/transport"
)

// A server without room for more refuses for certain, as full; acks still work, and once they have made room it takes more.
func TestServerWithoutRoom(t *testing.T) {
	const size = 64 << 10
	n := server(t, brokers.NATSConfig{MaxStore: 4 << 20})
	d, _ := open(t, n.URL)
	c := ensure(t, d, transport.StreamSpec{Stream: "s", Groups: []string{"workers"}})
	stored := 0
	for {
		r := publish(d, transport.Message{Stream: "s", Body: make([]byte, size)})[0]
		if r.Err == nil {
			if stored++; stored > 10*(4<<20)/size {
				t.Fatalf("%d messages of %d bytes fit", stored, size)
			}
			continue
		}
		if r.Outcome != transport.OutcomeRejected || !transport.IsCode(r.Err, transport.CodeFull) {
			t.Fatalf("after %d messages: %v, %v", stored, r.Outcome, r.Err)
		}
		break
	}
	got := take(t, c, "s", stored)
	if r := publish(d, transport.Message{Stream: "s", Body: make([]byte, size)})[0]; !transport.IsCode(r.Err, transport.CodeFull) {
		t.Errorf("while all are worked on: %v, %v", r.Outcome, r.Err)
	}
	ack1(t, c, got...)
	for deadline := time.Now().Add(2 * within); ; time.Sleep(20 * time.Millisecond) {
		r := publish(d, transport.Message{Stream: "s", Body: []byte("again")})[0]
		if r.Err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after all was settled: %v, %v", r.Outcome, r.Err)
		}
	}
	if got := get(t, c, "s"); got != "again" {
		t.Errorf("got %d bytes", len(got))
	}
}
