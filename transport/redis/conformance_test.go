package redis

import (
	"context"
	"log/slog"
	"net/url"
	"testing"

	"github.com/streamerson/streamerson/conformance"
	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/internal/brokers/brokerstest"
	"github.com/streamerson/streamerson/transport"
)

// openURL opens the driver as a program does, without its complaints about a broker that is tortured.
func openURL(ctx context.Context, rawURL string) (transport.Driver, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	return Open(ctx, u, transport.Options{Logger: slog.New(slog.DiscardHandler)})
}

func TestConformance(t *testing.T) {
	// Not everysec: while Redis syncs the file (each second), it puts off writing to it, and a kill -9 in that moment loses what was
	// accepted meanwhile. The suite saw it lose the last 19 ms on a busy disk.
	r := brokerstest.Redis(t, brokers.RedisConfig{AOF: "always"})
	h := conformance.Harness{
		Open: func(ctx context.Context) (transport.Driver, error) { return openURL(ctx, r.URL) },
		URL:  r.URL,
		Addr: r.Addr,
		OpenVia: func(ctx context.Context, addr string) (transport.Driver, error) {
			return openURL(ctx, conformance.ViaHost(r.URL, addr))
		},
	}
	if r.Controllable() { // nobody wants the data of a server of theirs deleted
		h.Broker = conformance.Control{
			Wipe:       r.Wipe,
			Restart:    r.Restart,
			Kill:       func(context.Context) error { return r.Kill9() },
			Start:      r.Restart,
			StartEmpty: r.StartEmpty,
			Stop:       func(context.Context) error { return r.Pause() },
			Continue:   func(context.Context) error { return r.Resume() },
			Fill:       r.Fill, Relieve: r.Relieve,
			DeleteGroup: r.DeleteGroup, DeleteConsumers: r.DeleteConsumers,
			SmallDisk: smallDisk,
		}
	}
	conformance.Run(t, h)
}

// What a driver owes has to hold as well when nothing goes by the direct path.
func TestConformanceOfTheDriverByGoRedis(t *testing.T) {
	u, err := url.Parse(shared.URL)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("codec", "go-redis")
	u.RawQuery = q.Encode()
	conformance.Run(t, conformance.Harness{
		Open: func(ctx context.Context) (transport.Driver, error) { return openURL(ctx, u.String()) },
		URL:  u.String(), Addr: shared.Addr, Areas: []conformance.Area{conformance.AreaDriver},
	})
}

// smallDisk starts a Redis whose append-only file is on a disk of its own.
func smallDisk(ctx context.Context, size int64) (*conformance.Disk, error) {
	disk, err := brokers.NewDisk(size)
	if err != nil {
		return nil, err
	}
	r, err := brokers.StartRedis(ctx, brokers.RedisConfig{AOF: "everysec", Dir: disk.Dir, Own: true})
	if err != nil {
		disk.Remove()
		return nil, err
	}
	return &conformance.Disk{
		Open: func(ctx context.Context) (transport.Driver, error) { return openURL(ctx, r.URL) },
		Fill: disk.Fill, Free: disk.Free, Restart: r.Restart,
		Stop: func() { r.Stop(); disk.Remove() },
	}, nil
}
