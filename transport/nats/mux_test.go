package nats

import (
	"fmt"
	"testing"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/transport"
)

// A batch's reply subjects are used again by later batches, and no answer is taken for one to another batch: some messages of each
// are refused, at changing places.
func TestReplySubjectsAreUsedAgain(t *testing.T) {
	const rounds, size = 100, 7
	n := server(t, brokers.NATSConfig{})
	for _, url := range []string{n.URL, "nats+core://" + n.Addr} {
		d, _ := open(t, url)
		ensure(t, d, transport.StreamSpec{Stream: "s", Groups: []string{"workers"}})
		here, gone := lane(t, d), lane(t, d)
		if err := gone.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		for k := range rounds {
			msgs := make([]transport.Message, size)
			for i := range msgs {
				to := here
				if (i+k)%3 == 0 {
					to = gone
				}
				msgs[i] = transport.Message{Stream: to.Address(), Lane: true, Body: fmt.Append(nil, k)}
			}
			for i, r := range publish(d, msgs...) {
				want := transport.OutcomeAccepted
				if (i+k)%3 == 0 {
					want = transport.OutcomeRejected
				}
				if r.Outcome != want {
					t.Fatalf("%s: message %d of batch %d is %v (%v), want %v", url, i, k, r.Outcome, r.Err, want)
				}
			}
			accepted(t, d, numbered("s", k, k+1)...)
		}
		d.mux.mu.Lock()
		if d.mux.last > 3 || len(d.mux.flights) > 0 { // the presence asks on subjects of its own
			t.Errorf("%s: %d batches after each other took %d sets of subjects; %d are still open", url, 2*rounds, d.mux.last, len(d.mux.flights))
		}
		d.mux.mu.Unlock()
	}
}

func lane(t *testing.T, d *Driver) transport.Tailer {
	t.Helper()
	l, err := d.Tail(t.Context(), transport.TailSpec{Name: "lane"})
	if err != nil {
		t.Fatal(err)
	}
	return l
}
