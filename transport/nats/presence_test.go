package nats

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/transport"
)

// From the silence of a member that is subscribed nothing is concluded at first: it may be loaded. After a while it counts as gone,
// and one that has left is gone at once.
func TestSilentMember(t *testing.T) {
	n := server(t, brokers.NATSConfig{})
	d, _ := open(t, n.URL)
	if err := d.Ensure(t.Context(), []transport.StreamSpec{{Stream: "s", Groups: []string{"workers"}}}); err != nil {
		t.Fatal(err)
	}
	count := func() int {
		t.Helper()
		l, err := d.Lag(t.Context(), "s", "workers")
		if err != nil {
			t.Fatal(err)
		}
		return l.Consumers
	}
	until := func(want int) {
		t.Helper()
		for deadline := time.Now().Add(unsureFor + within); count() != want; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d members, want %d", count(), want)
			}
		}
	}
	until(0)
	nc, err := nats.Connect(n.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	silent, err := nc.SubscribeSync(liveSubject("s", "workers"))
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := count(); got != -1 {
		t.Errorf("with a silent member: %d, want -1: it can't be known", got)
	}
	until(0)
	if err := silent.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	until(0)
}
