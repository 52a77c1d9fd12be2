package redis

import (
	"context"
	"log/slog"
	"net/url"
	"testing"

	"github.com/streamerson/streamerson/conformance"
	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/transport"
)

func TestConformance(t *testing.T) {
	r := own(t, brokers.RedisConfig{AOF: "everysec"})
	u, err := url.Parse(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	conformance.Run(t, conformance.Harness{
		Open: func(ctx context.Context) (transport.Driver, error) {
			return Open(ctx, u, transport.Options{Logger: slog.New(slog.DiscardHandler)})
		},
		Broker: conformance.Control{
			Wipe:    func(ctx context.Context) error { return admin(t, r.Addr).FlushAll(ctx).Err() },
			Restart: r.Restart,
		},
	})
}
