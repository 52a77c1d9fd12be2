package parts

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/streamerson/streamerson/bench/role"
)

// natsTimeout is when nc.Request gives a call up.
const natsTimeout = 10 * time.Second

// natsCaller makes calls by nc.Request, nats.go's own way: one inbox for all, a channel and a timer for each. Nothing is
// stored, nothing is repeated, and a call to nobody is told at once.
type natsCaller struct {
	nc      *nats.Conn
	subject string
}

func startNATSClient(_ context.Context, spec role.Spec) (*role.Part, error) {
	nc, err := nats.Connect(spec.URL)
	if err != nil {
		return nil, err
	}
	return &role.Part{
		Caller: &natsCaller{nc: nc, subject: spec.Stream},
		Close:  func(context.Context) error { nc.Close(); return nil },
	}, nil
}

// Call implements Caller.
func (c *natsCaller) Call(_ context.Context, _, body []byte) ([]byte, error) {
	m, err := c.nc.Request(c.subject, body, natsTimeout)
	if err != nil {
		return nil, err
	}
	return m.Data, nil
}

// startNATSWorker answers in a queue subscription's callback, one request after the other: for an echo that is the fastest.
func startNATSWorker(_ context.Context, spec role.Spec) (*role.Part, error) {
	nc, err := nats.Connect(spec.URL)
	if err != nil {
		return nil, err
	}
	if _, err = nc.QueueSubscribe(spec.Stream, handGroup, func(m *nats.Msg) { _ = m.Respond(m.Data) }); err == nil {
		err = nc.Flush()
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &role.Part{Close: func(context.Context) error { nc.Close(); return nil }}, nil
}
