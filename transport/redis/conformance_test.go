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
	r := brokerstest.Redis(t, brokers.RedisConfig{AOF: "everysec"})
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
		}
	}
	conformance.Run(t, h)
}
