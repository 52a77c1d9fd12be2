//go:build !race

package gates

import (
	"log/slog"
	"os"
	"testing"

	"github.com/streamerson/streamerson/transport"
	"github.com/streamerson/streamerson/transport/kafka"
	"github.com/streamerson/streamerson/transport/nats"
	"github.com/streamerson/streamerson/transport/redis"
)

func TestMain(m *testing.M) {
	transport.Default.Register("redis", redis.Open)
	for _, scheme := range kafka.Schemes {
		transport.Default.Register(scheme, kafka.Open)
	}
	for _, scheme := range nats.Schemes {
		transport.Default.Register(scheme, nats.Open)
	}
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}
