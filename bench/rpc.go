package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

// echoFunction is what rpc clients and gateways call.
const echoFunction = "echo"

// readyTimeout bounds how long a worker or gateway may take to serve.
const readyTimeout = 30 * time.Second

// batchCounter counts what rpc hands to its driver.
type batchCounter struct {
	rpc.NopObserver
	publishes, published, settles, settled atomic.Int64
}

func (b *batchCounter) Batch(kind string, n int) {
	switch kind {
	case "publish":
		b.publishes.Add(1)
		b.published.Add(int64(n))
	case "settle":
		b.settles.Add(1)
		b.settled.Add(int64(n))
	}
}

func (b *batchCounter) counters() map[string]int64 {
	return map[string]int64{
		"publish.batches": b.publishes.Load(), "publish.items": b.published.Load(),
		"settle.batches": b.settles.Load(), "settle.items": b.settled.Load(),
	}
}

func openDriver(ctx context.Context, url string) (transport.Driver, error) {
	// What a driver says at startup (durability) is in the report; role processes log only what goes wrong later.
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	return transport.Default.Open(ctx, url, transport.Options{Logger: log})
}

// rpcCaller makes calls as a user's code does, with the defaults of rpc.ClientConfig.
type rpcCaller struct {
	client *rpc.Client
	stream string
}

func startRPCClient(ctx context.Context, spec roleSpec, _ Wiring) (*part, error) {
	d, err := openDriver(ctx, spec.URL)
	if err != nil {
		return nil, err
	}
	var obs batchCounter
	c, err := rpc.NewClient(ctx, d, rpc.ClientConfig{Name: "caller", Observer: &obs})
	if err != nil {
		return nil, errors.Join(err, d.Close(ctx))
	}
	return &part{
		caller:   &rpcCaller{client: c, stream: spec.Stream},
		counters: obs.counters,
		close:    func(ctx context.Context) error { return errors.Join(c.Close(ctx), d.Close(ctx)) },
	}, nil
}

// Call implements Caller.
func (c *rpcCaller) Call(ctx context.Context, _, body []byte) ([]byte, error) {
	resp, err := c.client.Call(ctx, &rpc.Request{Stream: c.stream, Function: echoFunction, Body: body})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

func startRPCWorker(ctx context.Context, spec roleSpec, _ Wiring) (*part, error) {
	d, err := openDriver(ctx, spec.URL)
	if err != nil {
		return nil, err
	}
	var obs batchCounter
	s, err := rpc.NewServer(d, rpc.ServerConfig{Slots: spec.Slots, Streams: []rpc.StreamConfig{{Name: spec.Stream}}, Observer: &obs})
	if err != nil {
		return nil, errors.Join(err, d.Close(ctx))
	}
	s.Handle(echoFunction, func(_ context.Context, req *rpc.Request) (*rpc.Response, error) {
		return &rpc.Response{Body: req.Body}, nil
	})
	p, err := inBackground(ctx, s.Run, func() error { return s.Ready() })
	if err != nil {
		return nil, errors.Join(err, d.Close(ctx))
	}
	p.counters = obs.counters
	end := p.close
	p.close = func(ctx context.Context) error { return errors.Join(end(ctx), d.Close(ctx)) }
	return p, nil
}

// inBackground runs serve until the part is closed, and returns when ready reports nil.
func inBackground(ctx context.Context, serve func(context.Context) error, ready func() error) (*part, error) {
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
	return &part{close: func(ctx context.Context) error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}}, nil
}

// startGateway runs the gateway that the program wired in; it is ready once it answers a POST of the echo route with 200.
func startGateway(ctx context.Context, spec roleSpec, w Wiring) (*part, error) {
	if w.Gateway == nil {
		return nil, errors.New("no gateway is wired into this program")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	base, probe := "http://"+ln.Addr().String(), &http.Client{Timeout: time.Second}
	p, err := inBackground(ctx, func(ctx context.Context) error { return w.Gateway(ctx, ln, spec.URL, spec.Stream) }, func() error {
		resp, err := probe.Post(base+echoPath, "application/octet-stream", nil)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			text, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
			return fmt.Errorf("status %d: %s", resp.StatusCode, text)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	p.addr = base
	return p, nil
}

// startWebWorker serves the same http.Handler as the HTTP legs, over the stream. It counts as ready at once: the gateway's
// own readiness needs an answer from it.
func startWebWorker(ctx context.Context, spec roleSpec, w Wiring) (*part, error) {
	if w.Worker == nil {
		return nil, errors.New("no worker is wired into this program")
	}
	return inBackground(ctx, func(ctx context.Context) error {
		return w.Worker(ctx, spec.URL, spec.Stream, spec.Slots, http.HandlerFunc(echoHTTP))
	}, func() error { return nil })
}
