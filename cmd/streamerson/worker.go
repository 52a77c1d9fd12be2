package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/streamerson/streamerson/config"
	"github.com/streamerson/streamerson/examples/posts"
	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/worker"
)

func workerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Serve streams with an HTTP server in any language (--forward)",
		Long: `Takes requests from the streams, as many at once as it has slots, sends each to the HTTP server that --forward names, and
replies with what that answered. It waits for the server to take connections before it takes the first request.

A service written in Go needs no sidecar: its own program embeds the rpc core, see package worker and README.md.

SIGTERM or Ctrl-C drains: nothing more is taken, running requests end. A second one stops at once. SIGHUP, or a change of the
file, reads streams and slots again.`,
		Example: `  streamerson worker --transport redis://127.0.0.1:6379/0 --streams posts --forward http://127.0.0.1:3000
  streamerson worker -c streamerson.yaml --streams posts --slots 16`,
		Args: cobra.NoArgs,
		RunE: runWorker,
	}
	addWorkerFlags(cmd.Flags())
	addAdminFlag(cmd.Flags())
	cmd.Flags().Bool("demo-posts", false, "serve the posts example")
	_ = cmd.Flags().MarkHidden("demo-posts") // demo's child processes use it
	addUntilEOF(cmd)
	return cmd
}

// errNoFunctions says what to do when a worker has nothing to run.
var errNoFunctions = usageError(errors.New("this program has no functions of its own: give --forward URL (or worker.forward) to serve with an HTTP server; a Go service embeds the rpc core in its own program (see README.md)"))

// errMemAlone says what to do when a process that needs others was given a broker that no other can reach.
var errMemAlone = errors.New("mem:// lives in one process, and this command needs others: use `streamerson dev`, or name a broker with --transport")

func runWorker(cmd *cobra.Command, _ []string) error {
	ctx, stop := untilEOF(cmd)
	defer stop()
	opts := options(cmd, config.UseTransport|config.UseWorker)
	cfg, err := loadWith(configFile(cmd), opts)
	if err != nil {
		return err
	}
	demo, _ := cmd.Flags().GetBool("demo-posts")
	if cfg.Worker.Forward == "" && !demo {
		return errNoFunctions
	}
	if inOneProcess(cfg.Transport.URL) {
		return usageError(errMemAlone)
	}
	s, err := startService(ctx, cfg, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	defer s.close()
	client, err := s.client(ctx, "worker") // for the calls that handlers make
	if err != nil {
		return err
	}
	defer closeQuietly(client.Close)
	w, err := s.newWorker(client, demo)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.serveWorker(ctx, w) })
	group.Go(func() error {
		s.watch(ctx, opts, func(next *config.Config) error { return reloadWorker(w, next) })
		return nil
	})
	return group.Wait()
}

// serveWorker runs w until ctx ends; a sidecar's target must be there first.
func (s *service) serveWorker(ctx context.Context, w *worker.Worker) error {
	s.check("worker", w.Ready)
	go s.metrics.WatchLag(ctx, s.driver, s.cfg.Worker.Group, func() []string { return streamNames(s.cfg) }, 0)
	if target := s.cfg.Worker.Forward; target != "" {
		s.log.Info("waiting until the target takes connections", "target", config.RedactURL(target))
		err := worker.WaitReady(ctx, target, worker.ForwardOptions{})
		if ctx.Err() != nil {
			return nil //nolint:nilerr // stopped while it waited, which is no failure
		}
		if err != nil {
			return err
		}
	}
	return w.Run(ctx)
}

// newWorker makes the worker of this process: a sidecar or, with demo, the stand-ins, which call each other through client.
func (s *service) newWorker(client *rpc.Client, demo bool) (*worker.Worker, error) {
	register, err := s.handlers(client, demo)
	if err != nil {
		return nil, err
	}
	w := s.cfg.Worker
	delays := make([]time.Duration, len(w.RetryDelays))
	for i, d := range w.RetryDelays {
		delays[i] = d.D()
	}
	return worker.New(s.driver, worker.Config{
		Group: w.Group, Slots: w.Slots, Streams: streamConfigs(s.cfg), Lease: w.Lease.D(), MaxAttempts: w.MaxAttempts,
		RetryDelays: delays, DrainTimeout: w.Drain.D(),
		Middleware: []rpc.Middleware{s.tracing.Server()}, Observer: s.metrics, Logger: s.log,
	}, register)
}

// handlers returns what registers this worker's functions.
func (s *service) handlers(client *rpc.Client, demo bool) (func(*rpc.Server), error) {
	w := s.cfg.Worker
	if w.Forward != "" {
		h, err := worker.Forward(w.Forward, worker.ForwardOptions{Slots: w.Slots, Functions: w.Functions})
		if err != nil {
			return nil, err
		}
		return func(srv *rpc.Server) { srv.Fallback(h) }, nil
	}
	if !demo {
		return nil, errNoFunctions
	}
	return demoHandlers(client)
}

// demoHandlers are the posts example's services, which call each other through client, and an echo for every other
// stream.
func demoHandlers(client *rpc.Client) (func(*rpc.Server), error) {
	costs, err := posts.CostsFromEnv()
	if err != nil {
		return nil, usageError(err)
	}
	services := posts.New(&http.Client{Transport: worker.RoundTripper(client, worker.RoundTripperOptions{})}, costs)
	byStream := map[string]rpc.Handler{}
	for stream, h := range services.ByStream() {
		byStream[stream] = worker.HTTP(h, worker.HTTPOptions{})
	}
	echo := worker.HTTP(http.HandlerFunc(serveEcho), worker.HTTPOptions{})
	return func(srv *rpc.Server) {
		srv.Fallback(func(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
			if h, ok := byStream[req.Stream]; ok {
				return h(ctx, req)
			}
			return echo(ctx, req)
		})
	}, nil
}

func reloadWorker(w *worker.Worker, next *config.Config) error {
	return w.Reload(next.Worker.Slots, streamConfigs(next))
}

func streamConfigs(cfg *config.Config) []rpc.StreamConfig {
	out := make([]rpc.StreamConfig, len(cfg.Worker.Streams))
	for i, s := range cfg.Worker.Streams {
		out[i] = rpc.StreamConfig{Name: s.Name, Min: s.Min, Weight: s.Weight, Max: s.Max, Lend: s.Lend, MaxBacklog: s.MaxBacklog}
	}
	return out
}

func streamNames(cfg *config.Config) []string {
	out := make([]string, len(cfg.Worker.Streams))
	for i, s := range cfg.Worker.Streams {
		out[i] = s.Name
	}
	return out
}
