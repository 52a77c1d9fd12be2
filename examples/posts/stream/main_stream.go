// Command stream serves the posts example from streams: the same handlers as main_http.go, all of them in one process or only
// those that -streams names. A gateway (streamerson gateway) puts the requests on the streams.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/streamerson/streamerson/config"
	"github.com/streamerson/streamerson/examples/posts"
	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
	"github.com/streamerson/streamerson/worker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	registerDrivers(transport.Default)
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "posts:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	cfg, err := settings()
	if err != nil {
		return err
	}
	costs, err := posts.CostsFromEnv()
	if err != nil {
		return err
	}
	driver, err := transport.Open(ctx, cfg.Transport.URL)
	if err != nil {
		return err
	}
	defer closeWithin(5*time.Second, driver.Close)
	// For the calls that the services make to each other.
	calls, err := rpc.NewClient(ctx, driver, rpc.ClientConfig{Group: cfg.Worker.Group})
	if err != nil {
		return err
	}
	defer closeWithin(5*time.Second, calls.Close)
	client := &http.Client{Transport: worker.RoundTripper(calls, worker.RoundTripperOptions{})}
	services := posts.New(client, costs)

	handlers := map[string]rpc.Handler{}
	for stream, h := range services.ByStream() {
		handlers[stream] = worker.HTTP(h, worker.HTTPOptions{})
	}
	w := worker.Config{Group: cfg.Worker.Group, Slots: cfg.Worker.Slots, Lease: cfg.Worker.Lease.D(), DrainTimeout: cfg.Worker.Drain.D()}
	for _, s := range cfg.Worker.Streams {
		if handlers[s.Name] == nil {
			return fmt.Errorf("stream %q is none of this program's: posts, images, users, comments", s.Name)
		}
		w.Streams = append(w.Streams, rpc.StreamConfig{Name: s.Name, Min: s.Min, Weight: s.Weight, Max: s.Max, Lend: s.Lend, MaxBacklog: s.MaxBacklog})
	}
	return worker.Run(ctx, driver, w, func(s *rpc.Server) { s.Fallback(worker.ByStream(handlers)) })
}

// settings reads streamerson.yaml and lets the flags change it.
func settings() (*config.Config, error) {
	file := flag.String("config", "examples/posts/streamerson.yaml", "configuration `file`")
	broker := flag.String("transport", "", "`URL` of the broker instead of the file's: redis://127.0.0.1:6379/0")
	streams := flag.String("streams", "", "serve only these streams, `a,b` out of posts,images,users,comments")
	flag.Parse()
	opts := config.Options{Use: config.UseTransport | config.UseWorker}
	if *broker != "" {
		opts.Overrides = append(opts.Overrides, config.Override{Path: "transport.url", Value: *broker, Source: "-transport"})
	}
	if *streams != "" {
		opts.Overrides = append(opts.Overrides, config.Override{Path: "worker.streams", Value: *streams, Source: "-streams"})
	}
	cfg, err := config.Load(*file, opts)
	if err != nil {
		return nil, err
	}
	if len(cfg.Transport.Params) > 0 {
		return nil, fmt.Errorf("transport.params in %s: put them into the URL's query for this example", *file)
	}
	return cfg, nil
}

func closeWithin(d time.Duration, end func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	if err := end(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "posts:", err)
	}
}
