package parts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/streamerson/streamerson/bench/role"
	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

// echoFunction is what rpc clients and gateways call.
const echoFunction = "echo"

// readyTimeout bounds how long a worker or gateway may take to serve.
const readyTimeout = 30 * time.Second

func openDriver(ctx context.Context, url string) (transport.Driver, error) {
	// What a driver says at startup (durability) is in the report; role processes log only what goes wrong later.
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	return transport.Default.Open(ctx, url, transport.Options{Logger: log})
}

// rpcCaller makes calls as a user's code does, with the defaults of rpc.ClientConfig.
type rpcCaller struct {
	client  *rpc.Client
	streams targets
	pack    bool
}

func startRPCClient(ctx context.Context, spec role.Spec) (*role.Part, error) {
	d, err := openDriver(ctx, spec.URL)
	if err != nil {
		return nil, err
	}
	var obs observer
	c, err := rpc.NewClient(ctx, d, rpc.ClientConfig{Name: "caller", Observer: &obs})
	if err != nil {
		return nil, errors.Join(err, d.Close(ctx))
	}
	return &role.Part{
		Caller:   &rpcCaller{client: c, streams: streamsOf(spec), pack: spec.Pack},
		Counters: obs.counters,
		Split:    obs.split,
		Close:    func(ctx context.Context) error { return errors.Join(c.Close(ctx), d.Close(ctx)) },
	}, nil
}

// Call implements Caller.
func (c *rpcCaller) Call(ctx context.Context, _, body []byte) ([]byte, error) {
	resp, err := c.client.Call(ctx, &rpc.Request{Stream: c.streams.of(body), Function: echoFunction, Body: body, Pack: c.pack})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

func startRPCWorker(ctx context.Context, spec role.Spec) (*role.Part, error) {
	d, err := openDriver(ctx, spec.URL)
	if err != nil {
		return nil, err
	}
	var obs observer
	s, err := rpc.NewServer(d, rpc.ServerConfig{Slots: spec.Slots, Streams: served(spec), Observer: &obs})
	if err != nil {
		return nil, errors.Join(err, d.Close(ctx))
	}
	works := len(spec.Kinds) > 0
	if works {
		turnTime() // before the first request, which would wait for it
	}
	s.Handle(echoFunction, func(_ context.Context, req *rpc.Request) (*rpc.Response, error) {
		if works {
			work(req.Body)
		}
		return &rpc.Response{Body: req.Body}, nil
	})
	p, err := inBackground(ctx, s.Run, func() error { return s.Ready() })
	if err != nil {
		return nil, errors.Join(err, d.Close(ctx))
	}
	p.Counters = obs.counters
	end := p.Close
	p.Close = func(ctx context.Context) error { return errors.Join(end(ctx), d.Close(ctx)) }
	return p, nil
}

// inBackground runs serve until the part is closed, and returns when ready reports nil.
func inBackground(ctx context.Context, serve func(context.Context) error, ready func() error) (*role.Part, error) {
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- serve(run) }()
	for deadline := time.Now().Add(readyTimeout); ; {
		err := ready()
		if err == nil {
			break
		}
		select {
		case early := <-ended:
			cancel()
			return nil, fmt.Errorf("ended before it served: %w", early)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			cancel()
			return nil, fmt.Errorf("not ready in %v: %w", readyTimeout, err)
		}
	}
	return &role.Part{Close: func(ctx context.Context) error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}}, nil
}
