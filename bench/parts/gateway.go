package parts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/streamerson/streamerson/bench/role"
)

// startGateway runs the gateway that the program wired in; it is ready once it answers a POST of an echo route with 200.
func (w Wiring) startGateway(ctx context.Context, spec role.Spec) (*role.Part, error) {
	if w.Gateway == nil {
		return nil, errors.New("no gateway is wired into this program")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	var obs observer
	order := GatewayOrder{Listener: ln, URL: spec.URL, Idle: spec.Routes, Observer: &obs}
	paths, streams := pathsOf(spec), streamsOf(spec)
	for i, path := range paths.names {
		order.Echo = append(order.Echo, EchoRoute{Path: path, Stream: streams.names[i], Pack: spec.Pack})
	}
	base, probe := "http://"+ln.Addr().String(), &http.Client{Timeout: time.Second}
	p, err := inBackground(ctx, func(ctx context.Context) error { return w.Gateway(ctx, order) }, func() error {
		resp, err := probe.Post(base+paths.names[0], "application/octet-stream", nil)
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
	p.Addr, p.Counters, p.Split = base, obs.counters, obs.split
	return p, nil
}

// startWebWorker serves the same http.Handler as the HTTP legs, over streams. It counts as ready at once: the gateway's own
// readiness needs an answer from it.
func (w Wiring) startWebWorker(ctx context.Context, spec role.Spec) (*role.Part, error) {
	if w.Worker == nil {
		return nil, errors.New("no worker is wired into this program")
	}
	var obs observer
	order := WorkerOrder{URL: spec.URL, Streams: served(spec), Slots: spec.Slots, Handler: echoHandler(spec), Observer: &obs}
	p, err := inBackground(ctx, func(ctx context.Context) error { return w.Worker(ctx, order) }, func() error { return nil })
	if err != nil {
		return nil, err
	}
	p.Counters = obs.counters
	return p, nil
}
