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

func devCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run gateway, workers and a broker in one process, with nothing installed",
		Long: `Serves the file's routes over a nats-server inside this process, whatever broker the file names; --transport names another
one. With --forward (or worker.forward) requests go to that HTTP server. Without it, built-in stand-ins answer: the posts example
on its streams (posts, images, users, comments), and on every other stream an echo of the request as a service would see it.

The server inside takes connections on a port of 127.0.0.1, which is logged: workers in other processes join there. A stream that
has a route and no worker here (--streams) is theirs alone. What it holds ends with this process. --broker nats+core is without
JetStream: a request that no worker takes is refused, not kept. --broker mem has streams in memory and no port.

Without a file it runs the posts example.`,
		Example: `  streamerson dev                                                  then: curl http://127.0.0.1:8080/posts/7
  streamerson dev -c streamerson.yaml --forward http://127.0.0.1:3000
  streamerson dev --streams posts,users,comments                   and in another shell, for the pictures:
  streamerson worker --transport nats://127.0.0.1:4222 --streams images --forward http://127.0.0.1:3000`,
		Args: cobra.NoArgs,
		RunE: runDev,
	}
	addListenFlags(cmd.Flags())
	addWorkerFlags(cmd.Flags())
	addAdminFlag(cmd.Flags())
	cmd.Flags().String("broker", "nats", "nats, nats+core or mem")
	addBrokerPortFlag(cmd)
	return cmd
}

func runDev(cmd *cobra.Command, _ []string) error {
	opts := options(cmd, config.UseTransport|config.UseGateway)
	var inside demoBroker
	if !cmd.Flags().Changed("transport") {
		var err error
		if inside, err = startDevBroker(cmd); err != nil {
			return err
		}
		defer inside.stop()
		opts.Overrides = append(opts.Overrides,
			config.Override{Path: "transport.url", Value: inside.url, Source: "dev"},
			config.Override{Path: "transport.params", Value: "", Source: "dev"})
	} else if cmd.Flags().Changed("broker") || cmd.Flags().Changed("broker-port") {
		return usageError(errors.New("--transport names a broker that runs; --broker and --broker-port are for the one inside: give either"))
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
	if err := checkServed(cfg); err != nil {
		return err
	}
	s, err := startService(cmd.Context(), cfg, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	defer s.close()
	if inside.about != "" {
		s.log.Info("the broker is inside this process; workers in other processes can join", "transport", inside.url)
	}
	if missing := unserved(cfg); len(missing) > 0 {
		s.log.Warn("no worker here serves these streams: their requests need workers in other processes", "streams", missing)
	}
	return s.serveBoth(cmd, opts)
}

// startDevBroker starts what --broker names.
func startDevBroker(cmd *cobra.Command) (demoBroker, error) {
	switch broker, _ := cmd.Flags().GetString("broker"); broker {
	case "mem":
		if cmd.Flags().Changed("broker-port") {
			return demoBroker{}, usageError(errors.New("--broker-port is for NATS; --broker mem has no port"))
		}
		return demoBroker{url: "mem://dev", stop: func() {}}, nil
	case "nats", "nats+core":
		return startEmbedded(cmd.Context(), cmd, broker)
	default:
		return demoBroker{}, usageError(fmt.Errorf("--broker %q is not known; use nats, nats+core or mem, or --transport for a broker that runs", broker))
	}
}

// checkServed refuses routes that nobody can serve: with a broker in memory there are no other workers.
func checkServed(cfg *config.Config) error {
	if missing := unserved(cfg); len(missing) > 0 && inOneProcess(cfg.Transport.URL) {
		return fmt.Errorf("no worker here serves %s: add it to worker.streams, or leave worker.streams out to serve every route's stream", strings.Join(missing, ", "))
	}
	return nil
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
	if err := checkServed(next); err != nil {
		return err
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
