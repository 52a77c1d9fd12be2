package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/streamerson/streamerson/config"
	"github.com/streamerson/streamerson/examples/posts"
	"github.com/streamerson/streamerson/worker"
)

// devBroker is a broker in this process's memory: nothing to install, and nothing left when it ends.
const devBroker = "mem://dev"

func devCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run gateway and workers in one process, with no broker installed",
		Long: `Serves the file's routes over streams in this process's memory, whatever broker the file names. With --forward (or
worker.forward) requests go to that HTTP server. Without it, built-in stand-ins answer: the posts example on its streams (posts,
images, users, comments), and on every other stream an echo of the request as a service would see it.

Without a file it runs the posts example.`,
		Example: `  streamerson dev                                                  then: curl http://127.0.0.1:8080/posts/7
  streamerson dev -c streamerson.yaml --forward http://127.0.0.1:3000`,
		Args: cobra.NoArgs,
		RunE: runDev,
	}
	addListenFlags(cmd.Flags())
	addWorkerFlags(cmd.Flags())
	addAdminFlag(cmd.Flags())
	return cmd
}

func runDev(cmd *cobra.Command, _ []string) error {
	opts := options(cmd, config.UseTransport|config.UseGateway)
	if !cmd.Flags().Changed("transport") {
		opts.Overrides = append(opts.Overrides,
			config.Override{Path: "transport.url", Value: devBroker, Source: "dev"},
			config.Override{Path: "transport.params", Value: "", Source: "dev"})
	}
	load := loadWith
	if configFile(cmd) == "" {
		load = loadPosts
		if !cmd.Flags().Changed("admin") {
			opts.Overrides = append(opts.Overrides, config.Override{Path: "admin.listen", Value: "", Source: "dev"})
		}
	}
	cfg, err := load(configFile(cmd), opts)
	if err != nil {
		return err
	}
	if len(cfg.Worker.Streams) == 0 {
		// A file for a gateway alone is enough to try its routes.
		opts.Overrides = append(opts.Overrides, config.Override{Path: "worker.streams", Value: strings.Join(routeStreams(cfg), ","), Source: "gateway.routes"})
		if cfg, err = load(configFile(cmd), opts); err != nil {
			return err
		}
	}
	if missing := unserved(cfg); len(missing) > 0 {
		return fmt.Errorf("no worker here serves %s: add it to worker.streams, or leave worker.streams out to serve every route's stream", strings.Join(missing, ", "))
	}
	s, err := startService(cmd.Context(), cfg, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	defer s.close()
	return s.serveBoth(cmd, opts)
}

// serveBoth runs a gateway and a worker until the command's context ends. The gateway drains first: its calls need the worker.
func (s *service) serveBoth(cmd *cobra.Command, opts config.Options) error {
	workerCtx, stopWorker := context.WithCancel(context.WithoutCancel(cmd.Context()))
	defer stopWorker()
	client, err := s.client(cmd.Context(), "dev")
	if err != nil {
		return err
	}
	defer closeQuietly(client.Close)
	w, err := s.newWorker(client, true)
	if err != nil {
		return err
	}
	g, err := s.newGateway(client)
	if err != nil {
		return err
	}
	var group errgroup.Group
	gatewayCtx, stopGateway := context.WithCancel(cmd.Context())
	group.Go(func() error {
		defer stopGateway() // a worker that can't run leaves nothing to serve
		return s.serveWorker(workerCtx, w)
	})
	group.Go(func() error {
		defer stopWorker()
		return s.serveGateway(gatewayCtx, g)
	})
	go s.watch(gatewayCtx, opts, func(next *config.Config) error { return reloadBoth(g, w, next) })
	return group.Wait()
}

// reloadBoth checks both before it changes one.
func reloadBoth(g *gatewayServer, w *worker.Worker, next *config.Config) error {
	if missing := unserved(next); len(missing) > 0 {
		return errors.New("no worker here serves " + strings.Join(missing, ", "))
	}
	if err := reloadWorker(w, next); err != nil {
		return err
	}
	return g.reload(next)
}

// loadPosts is the posts example's configuration, for a first look without a file.
func loadPosts(_ string, opts config.Options) (*config.Config, error) {
	return config.Parse("", posts.Config, opts)
}

// routeStreams are the streams of all routes, each once.
func routeStreams(cfg *config.Config) []string {
	var out []string
	for _, r := range cfg.Gateway.Routes {
		if !slices.Contains(out, r.Stream) {
			out = append(out, r.Stream)
		}
	}
	return out
}

// unserved are the streams that have a route and no worker in cfg.
func unserved(cfg *config.Config) []string {
	return slices.DeleteFunc(routeStreams(cfg), func(s string) bool { return slices.Contains(streamNames(cfg), s) })
}
