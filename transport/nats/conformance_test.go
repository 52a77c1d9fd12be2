package nats

import (
	"context"
	"log/slog"
	"net/url"
	"os"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/streamerson/streamerson/conformance"
	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/internal/brokers/brokerstest"
	"github.com/streamerson/streamerson/transport"
)

func TestMain(m *testing.M) {
	brokers.ServeNATSChild()
	os.Exit(m.Run())
}

// server starts a NATS of our own, which ends with the test.
func server(t *testing.T, cfg brokers.NATSConfig) *brokers.NATSProcess {
	t.Helper()
	cfg.Own = true
	return brokerstest.NATS(t, cfg)
}

func parse(t testing.TB, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// admin is JetStream as an operator has it.
func admin(t *testing.T, addr string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.AccountInfo(t.Context()); err != nil { // now it has all its goroutines
		t.Fatal(err)
	}
	return js
}

func wipe(ctx context.Context, js jetstream.JetStream) error {
	names := js.StreamNames(ctx)
	for name := range names.Name() {
		if err := js.DeleteStream(ctx, name); err != nil {
			return err
		}
	}
	return names.Err()
}

func TestConformance(t *testing.T) {
	n := brokerstest.NATS(t, brokers.NATSConfig{})
	u := parse(t, n.URL)
	h := conformance.Harness{
		Open: func(ctx context.Context) (transport.Driver, error) {
			return Open(ctx, u, transport.Options{Logger: slog.New(slog.DiscardHandler)})
		},
	}
	if n.Controllable() { // nobody wants the streams of a server of theirs deleted
		js := admin(t, n.Addr)
		h.Broker = conformance.Control{
			Wipe:    func(ctx context.Context) error { return wipe(ctx, js) },
			Restart: n.Restart,
		}
	}
	conformance.Run(t, h)
}

// What core NATS doesn't claim each scenario finds refused. A restart is a wipe as well: nothing is stored.
func TestCoreConformance(t *testing.T) {
	n := server(t, brokers.NATSConfig{NoJetStream: true})
	u := parse(t, "nats+core://"+n.Addr)
	conformance.Run(t, conformance.Harness{
		Open: func(ctx context.Context) (transport.Driver, error) {
			return Open(ctx, u, transport.Options{Logger: slog.New(slog.DiscardHandler)})
		},
		Broker: conformance.Control{Wipe: n.Restart, Restart: n.Restart},
	})
}
