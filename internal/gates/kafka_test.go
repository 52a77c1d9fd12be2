//go:build !race

package gates

import (
	"testing"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/internal/brokers/brokerstest"
)

const (
	// kafkaIdleRequests bounds the requests a second of a client and a worker that make no call: 28 were seen.
	kafkaIdleRequests = 60
	// kafkaMarks bounds what a driver writes by itself, in Produce requests a second: each 15 s a mark on the clock's topic and on
	// each lane, at once.
	kafkaMarks = 8
	// kafkaIdleBytes bounds their bytes a second, each way: 3,500 in and 19,000 out were seen.
	kafkaIdleBytes = 40_000
)

// kafkaCost bounds what one call costs a Kafka: requests and bytes.
type kafkaCost struct {
	calls, inFlight         int
	produce, fetch, in, out float64
}

// kafkaCosts are what is seen, plus slack. One in flight: Produce twice; Fetch 2.03 to 2.22, since one that waits is
// asked anew when a topic's state changes; 1,150 bytes in and 1,227 out. 256 in flight: 0.025 of each, batches of about 80, and the
// bound lets them be 13; 426 and 431 bytes, and small batches' heads are dearer.
var kafkaCosts = []kafkaCost{
	{500, 1, 2, 2.6, 1_230, 1_350},
	{20_000, 256, 0.15, 0.15, 480, 490},
}

func TestGateKafkaRequestsAndBytes(t *testing.T) {
	k := brokerstest.Kafka(t, brokers.KafkaConfig{Own: true})
	r := startRelay(t, k.Addr)
	p := start(t, k.URL+"?via="+r.addr(), names(1)...)
	for _, c := range kafkaCosts {
		u, took := during(c.calls, r.use, func() { p.load(c.calls, c.inFlight) })
		t.Logf("%d in flight, %v: %v", c.inFlight, took, u)
		idle := (took.Seconds() + 1) / float64(c.calls)
		within := func(what string, got, most float64) {
			t.Helper()
			if got > most {
				t.Errorf("%d in flight: %s: %.3f a call, want at most %.3f", c.inFlight, what, got, most)
			}
		}
		within("Produce", u.cut("Produce"), c.produce+kafkaMarks*idle)
		within("Fetch", u.cut("Fetch"), c.fetch+kafkaIdleRequests*idle)
		within("other requests", u.rest(), kafkaIdleRequests*idle)
		within("bytes in", u.in, c.in+kafkaIdleBytes*idle)
		within("bytes out", u.out, c.out+kafkaIdleBytes*idle)
	}
	p.settled()
	// One that waits for each stream and lane, and what the rest took at one moment, kept for a minute: 7 are seen, and 10 on a
	// busy machine.
	p.connections(r.addr(), 16)
}
