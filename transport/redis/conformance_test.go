package redis

import (
	"context"
	"errors"
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
			Wipe: func(ctx context.Context) error {
				operator := admin(t, r.Addr)
				defer func() { _ = operator.Close() }() // the suite counts connections
				return operator.FlushAll(ctx).Err()
			},
			Restart:    r.Restart,
			Kill:       func(context.Context) error { return r.Kill9() },
			Start:      r.Restart,
			StartEmpty: r.StartEmpty,
			Stop:       func(context.Context) error { return r.Pause() },
			Continue:   func(context.Context) error { return r.Resume() },
			// The limit is below what is in use, which is what full means to Redis.
			Fill:    func(ctx context.Context) error { return limitMemory(ctx, t, r.Addr, "1mb") },
			Relieve: func(ctx context.Context) error { return limitMemory(ctx, t, r.Addr, "0") },
			DeleteGroup: func(ctx context.Context, stream, group string) error {
				operator := admin(t, r.Addr)
				defer func() { _ = operator.Close() }()
				return operator.XGroupDestroy(ctx, streamKey(stream), group).Err()
			},
			DeleteConsumers: func(ctx context.Context, stream, group string) error {
				return deleteConsumers(ctx, t, r.Addr, stream, group)
			},
			SmallDisk: smallDisk,
		}
	}
	conformance.Run(t, h)
}

func limitMemory(ctx context.Context, t *testing.T, addr, limit string) error {
	operator := admin(t, addr)
	defer func() { _ = operator.Close() }() // the suite counts connections
	return errors.Join(operator.ConfigSet(ctx, "maxmemory-policy", "noeviction").Err(), operator.ConfigSet(ctx, "maxmemory", limit).Err())
}

func deleteConsumers(ctx context.Context, t *testing.T, addr, stream, group string) error {
	operator := admin(t, addr)
	defer func() { _ = operator.Close() }()
	consumers, err := operator.XInfoConsumers(ctx, streamKey(stream), group).Result()
	for _, c := range consumers {
		err = errors.Join(err, operator.XGroupDelConsumer(ctx, streamKey(stream), group, c.Name).Err())
	}
	return err
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
