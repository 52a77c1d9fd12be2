//go:build !race

package gates

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// ownNATS is a nats-server inside the test, so that it can be asked what it counted.
func ownNATS(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("nats-server is not ready for connections")
	}
	return s
}

func natsUse(t *testing.T, s *server.Server) func() use {
	return func() use {
		t.Helper()
		v, err := s.Varz(nil)
		if err != nil {
			t.Fatal(err)
		}
		return use{ops: map[string]float64{"in": float64(v.InMsgs), "out": float64(v.OutMsgs)}, in: float64(v.InBytes), out: float64(v.OutBytes)}
	}
}

// natsCost bounds what one call costs a nats-server: messages from clients and to them, and their bytes as the server counts
// them (bodies and headers).
type natsCost struct {
	calls, inFlight int
	// msgs and size are each way.
	msgs, size float64
}

const (
	// natsIdleMsgs bounds the messages a second, each way, of a client and a worker that make no call: 16 were seen, with
	// JetStream. natsIdleBytes bounds their bytes: 4,600 were seen.
	natsIdleMsgs, natsIdleBytes = 40, 12_000
)

// natsCosts are what is seen, plus slack. JetStream, one in flight: 5 messages each way (a request with its PubAck, a pull and
// the delivery, the ack, the reply; up to 5.15, when a pull is asked for anew), 510 bytes in and 532 out. 256 in flight: 2.04
// (the request and its ack; the rest is shared by a batch), 465 and 508 bytes. Core NATS: 4 (a request, a reply, and what each
// of the two is acknowledged with), and 1.04 of 405 bytes. The bounds allow batches of a fifth of what is seen.
var natsCosts = map[string][]natsCost{
	"nats":      {{1_000, 1, 5.4, 550}, {20_000, 256, 2.25, 550}},
	"nats+core": {{1_000, 1, 4.05, 415}, {20_000, 256, 1.25, 440}},
}

func TestGateNATSMessagesAndBytes(t *testing.T) {
	for scheme, costs := range natsCosts {
		t.Run(scheme, func(t *testing.T) {
			s := ownNATS(t)
			p := start(t, scheme+"://"+s.Addr().String(), names(1)...)
			for _, c := range costs {
				u, took := during(c.calls, natsUse(t, s), func() { p.load(c.calls, c.inFlight) })
				t.Logf("%d in flight, %v: %v", c.inFlight, took, u)
				idle := (took.Seconds() + 1) / float64(c.calls) // what goes by time comes in bursts of less than a second
				if most := c.msgs + natsIdleMsgs*idle; u.ops["in"] > most || u.ops["out"] > most {
					t.Errorf("%d in flight: %v, want at most %.2f messages a call each way", c.inFlight, u, most)
				}
				if most := c.size + natsIdleBytes*idle; u.in > most || u.out > most {
					t.Errorf("%d in flight: %v, want at most %.0f bytes a call each way", c.inFlight, u, most)
				}
			}
			p.connections(s.Addr().String(), 2)
			p.settled()
			eventually(t, func() bool { return natsStored(t, s) == 0 }, func() string {
				return fmt.Sprintf("JetStream holds %d messages after all was settled, want none", natsStored(t, s))
			})
			t.Logf("left: %d messages", natsStored(t, s))
		})
	}
}

// natsStored is the number of messages in all of JetStream's streams.
func natsStored(t *testing.T, s *server.Server) uint64 {
	t.Helper()
	j, err := s.Jsz(nil)
	if err != nil {
		t.Fatal(err)
	}
	return j.Messages
}
