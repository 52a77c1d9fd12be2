package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/streamerson/streamerson/bench"
	"github.com/streamerson/streamerson/bench/parts"
	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
	"github.com/streamerson/streamerson/worker"
)

func benchCommand() *cobra.Command {
	return bench.Command(bench.Wiring{Gateway: benchGateway, Worker: benchWorker})
}

// benchWorker is the worker of the gateway leg: as `streamerson worker` would be, without metrics and traces on either side of
// the comparison.
func benchWorker(ctx context.Context, o parts.WorkerOrder) error {
	keepBallast()
	d, err := transport.Default.Open(ctx, o.URL, transport.Options{Logger: quietLogger})
	if err != nil {
		return err
	}
	defer closeQuietly(d.Close)
	cfg := worker.Config{Slots: o.Slots, Streams: o.Streams, Observer: o.Observer, Logger: quietLogger}
	return worker.Run(ctx, d, cfg, func(s *rpc.Server) { s.Fallback(worker.HTTP(o.Handler, worker.HTTPOptions{})) })
}
