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
	conformance.ServeChild(openURL)
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

// openURL opens the driver as a program does, without its complaints about a server that is tortured.
func openURL(ctx context.Context, rawURL string) (transport.Driver, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	return Open(ctx, u, transport.Options{Logger: slog.New(slog.DiscardHandler)})
}

// harness is the suite's, for the server under one of its URLs.
func harness(n *brokers.NATSProcess, rawURL string) conformance.Harness {
	h := conformance.Harness{
		Open: func(ctx context.Context) (transport.Driver, error) { return openURL(ctx, rawURL) },
		URL:  rawURL,
		Addr: n.Addr,
		OpenVia: func(ctx context.Context, addr string) (transport.Driver, error) {
			return openURL(ctx, conformance.ViaHost(rawURL, addr))
		},
	}
	if n.Controllable() { // nobody wants the streams of a server of theirs deleted
		h.Broker = conformance.Control{
			Wipe:       n.Wipe,
			Restart:    n.Restart,
			Kill:       func(context.Context) error { return n.Kill9() },
			Start:      n.Start,
			StartEmpty: n.StartEmpty,
			Stop:       func(context.Context) error { return n.Pause() },
			Continue:   func(context.Context) error { return n.Resume() },
		}
	}
	return h
}

func TestConformance(t *testing.T) {
	n := brokerstest.NATS(t, brokers.NATSConfig{MaxStore: 64 << 20})
	h := harness(n, n.URL)
	if n.Controllable() {
		h.Broker.Fill, h.Broker.Relieve, h.Broker.DeleteGroup = n.Fill, n.Relieve, n.DeleteGroup
		h.Broker.SmallDisk = smallDisk
	}
	conformance.Run(t, h)
}

// smallDisk starts a NATS whose store is on a disk of its own.
func smallDisk(ctx context.Context, size int64) (*conformance.Disk, error) {
	disk, err := brokers.NewDisk(size)
	if err != nil {
		return nil, err
	}
	n, err := brokers.StartNATSProcess(ctx, brokers.NATSConfig{Dir: disk.Dir, MaxStore: 10 * size, Own: true})
	if err != nil {
		disk.Remove()
		return nil, err
	}
	return &conformance.Disk{
		Open: func(ctx context.Context) (transport.Driver, error) { return openURL(ctx, n.URL) },
		Fill: disk.Fill, Free: disk.Free, Restart: n.Restart,
		Stop: func() { n.Stop(); disk.Remove() },
	}, nil
}

// What core NATS doesn't claim each scenario finds refused. A restart is a wipe as well: nothing is stored.
func TestCoreConformance(t *testing.T) {
	n := server(t, brokers.NATSConfig{NoJetStream: true})
	h := harness(n, "nats+core://"+n.Addr)
	h.Broker.Wipe = n.Restart
	conformance.Run(t, h)
}
