package main

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/streamerson/streamerson/bench"
	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
	"github.com/streamerson/streamerson/worker"
)

func benchCommand() *cobra.Command {
	return bench.Command(bench.Wiring{Gateway: benchGateway, Worker: benchWorker})
}

// benchWorker is the worker of the gateway leg: as `streamerson worker` would be, without metrics and traces on either side of
// the comparison.
func benchWorker(ctx context.Context, url, stream string, slots int, h http.Handler) error {
	d, err := transport.Default.Open(ctx, url, transport.Options{Logger: quietLogger})
	if err != nil {
		return err
	}
	defer closeQuietly(d.Close)
	cfg := worker.Config{Slots: slots, Streams: []rpc.StreamConfig{{Name: stream}}, Logger: quietLogger}
	return worker.Run(ctx, d, cfg, func(s *rpc.Server) { s.Fallback(worker.HTTP(h, worker.HTTPOptions{})) })
}
