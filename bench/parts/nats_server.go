package parts

import (
	"context"

	"github.com/streamerson/streamerson/bench/role"
	"github.com/streamerson/streamerson/internal/brokers"
)

// startNATSServer is the broker's role: a nats-server in a process of its own.
func startNATSServer(ctx context.Context, _ role.Spec) (*role.Part, error) {
	n, err := brokers.StartNATS(ctx, brokers.NATSConfig{})
	if err != nil {
		return nil, err
	}
	return &role.Part{Addr: n.URL, Close: func(context.Context) error { n.Stop(); return nil }}, nil
}
