// Command redisbench is the bench command alone, for work on the benchmark itself.
package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamerson/streamerson/bench"
	"github.com/streamerson/streamerson/gateway"
	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
	"github.com/streamerson/streamerson/transport/redis"
	"github.com/streamerson/streamerson/worker"
)

func main() {
	transport.Default.Register("redis", redis.Open)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	root := &cobra.Command{Use: "redisbench"}
	root.AddCommand(bench.Command(bench.Wiring{Gateway: serveGateway, Worker: serveWorker}))
	err := root.ExecuteContext(ctx)
	stop()
	if err != nil {
		os.Exit(1)
	}
}

func serveWorker(ctx context.Context, url, stream string, slots int, h http.Handler) error {
	d, err := transport.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close(context.WithoutCancel(ctx)) }()
	cfg := worker.Config{Slots: slots, Streams: []rpc.StreamConfig{{Name: stream}}}
	return worker.Run(ctx, d, cfg, func(s *rpc.Server) { s.Fallback(worker.HTTP(h, worker.HTTPOptions{})) })
}

func serveGateway(ctx context.Context, ln net.Listener, url, stream string) error {
	d, err := transport.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close(context.WithoutCancel(ctx)) }()
	c, err := rpc.NewClient(ctx, d, rpc.ClientConfig{})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	g, err := gateway.New(c, gateway.Config{Routes: []gateway.Route{{Method: http.MethodPost, Path: "/echo", Stream: stream, Function: "echo"}}})
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: g, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
