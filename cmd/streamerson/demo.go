package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamerson/streamerson/config"
	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/rpc"
)

const (
	demoListen = "127.0.0.1:8080"
	// demoWorkers is two, so that they share the work.
	demoWorkers = 2
	// demoReadyTimeout bounds the start of broker, workers and gateway.
	demoReadyTimeout = 30 * time.Second
	// demoFetchTimeout is what it is for a broker whose jars may have to be fetched first.
	demoFetchTimeout = 5 * time.Minute
)

func demoCommand() *cobra.Command {
	var broker string
	var once bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start everything, send a request to each route, and show the answers with their times",
		Long: `Starts a gateway and two workers with the posts example, sends a real HTTP request to each route, and prints each answer and
where its time went. Then the gateway stays up until Ctrl-C.

--broker nats (the default) has a nats-server inside this process; nats+core is the same without JetStream. --broker redis starts a
redis-server of its own, which must be installed; --broker kafka a Kafka, for which Java 17 and Maven must be, and which is fetched
the first time. With all of them gateway and workers are processes of their own, and more workers can join at the URL that is
printed. --broker mem runs all in this process.`,
		Example: "  streamerson demo\n  streamerson demo --broker redis --once",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd, broker, once)
		},
	}
	cmd.Flags().StringVar(&broker, "broker", "nats", strings.Join(demoBrokers(), ", "))
	addBrokerPortFlag(cmd)
	cmd.Flags().BoolVar(&once, "once", false, "end after the requests; the exit code tells whether all were answered well")
	cmd.Flags().String("listen", "", "address for HTTP (default "+demoListen+", or a free port when that is taken)")
	return cmd
}

// demo is a running system: where it listens, what to say of it, and how to end it.
type demo struct {
	url, about string
	// failed gets the error of a part that ended by itself.
	failed <-chan error
	stop   func()
}

// startDemo are the ways to start a demo, by the broker's name.
var startDemo = map[string]func(ctx context.Context, cmd *cobra.Command, cfg *config.Config) (*demo, error){
	"mem": startMemDemo, "redis": startRedisDemo, "kafka": startKafkaDemo,
	"nats": startNATSDemo, "nats+core": startNATSCoreDemo,
}

func demoBrokers() []string { return slices.Sorted(maps.Keys(startDemo)) }

func runDemo(cmd *cobra.Command, broker string, once bool) error {
	start := startDemo[broker]
	if start == nil {
		return usageError(fmt.Errorf("--broker %q is not known; use one of %s", broker, strings.Join(demoBrokers(), ", ")))
	}
	if cmd.Flags().Changed("broker-port") && !strings.HasPrefix(broker, "nats") {
		return usageError(errors.New("--broker-port is for the nats-server inside: use it with --broker nats or nats+core"))
	}
	listen, err := demoAddress(cmd)
	if err != nil {
		return err
	}
	opts := options(cmd, config.UseGateway|config.UseWorker)
	opts.Overrides = append(opts.Overrides,
		config.Override{Path: "gateway.listen", Value: listen, Source: "demo"},
		config.Override{Path: "transport.url", Value: "mem://demo", Source: "demo"},
		config.Override{Path: "admin.listen", Value: "", Source: "demo"})
	if !cmd.Flags().Changed("log-level") {
		opts.Overrides = append(opts.Overrides, config.Override{Path: "log.level", Value: "error", Source: "demo"})
	}
	cfg, err := loadPosts("", opts)
	if err != nil {
		return err
	}
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	limit := demoReadyTimeout
	if broker == "kafka" {
		limit = demoFetchTimeout
	}
	startCtx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	d, err := start(startCtx, cmd, cfg)
	if err != nil {
		return err
	}
	defer d.stop()
	fmt.Fprintf(out, "%s\n\n", d.about)
	bad, err := sendDemoRequests(ctx, out, d.url)
	if err != nil {
		return err
	}
	if bad > 0 {
		err = fmt.Errorf("%d of the requests were not answered as they should be", bad)
	}
	if once || err != nil {
		return err
	}
	fmt.Fprintf(out, "The gateway is up at %s. Try:\n\n    curl -i %s/posts/7\n\nCtrl-C ends it.\n", d.url, d.url)
	select {
	case <-ctx.Done():
		return nil
	case err := <-d.failed:
		return err
	}
}

// demoAddress is what --listen says, or the usual port, or a free one when another program has that.
func demoAddress(cmd *cobra.Command) (string, error) {
	if cmd.Flags().Changed("listen") {
		return cmd.Flags().GetString("listen")
	}
	l, err := net.Listen("tcp", demoListen)
	if err == nil {
		return demoListen, l.Close()
	}
	port, err := brokers.FreePort()
	if err != nil {
		return "", err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s is taken by another program; using port %d\n", demoListen, port)
	return fmt.Sprintf("127.0.0.1:%d", port), nil
}

// startMemDemo runs a gateway and two workers in this process, each with a connection of its own to one broker in memory.
func startMemDemo(ctx context.Context, cmd *cobra.Command, cfg *config.Config) (*demo, error) {
	logTo := cmd.ErrOrStderr()
	d := &demo{about: fmt.Sprintf("A gateway and %d workers in this process, on streams in its memory (mem).", demoWorkers)}
	failed := make(chan error, demoWorkers+1)
	d.failed = failed
	// Stopping goes the other way round: the gateway drains while the workers still answer.
	var stops []func()
	d.stop = func() {
		for i := len(stops) - 1; i >= 0; i-- {
			stops[i]()
		}
	}
	launch := func(s *service, serve func(context.Context) error) {
		runCtx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := serve(runCtx); err != nil {
				failed <- err
			}
		}()
		stops = append(stops, func() { cancel(); <-done; s.close() })
	}
	var ready []func() error
	start := func(name string, serve func(*service, *rpc.Client) (run func(context.Context) error, isReady func() error, err error)) error {
		s, err := startService(ctx, cfg, logTo)
		if err != nil {
			return err
		}
		client, err := s.client(ctx, name)
		if err != nil {
			s.close()
			return err
		}
		run, isReady, err := serve(s, client)
		if err != nil {
			closeQuietly(client.Close)
			s.close()
			return err
		}
		launch(s, func(ctx context.Context) error {
			defer closeQuietly(client.Close)
			return run(ctx)
		})
		ready = append(ready, isReady)
		return nil
	}
	for range demoWorkers {
		err := start("worker", func(s *service, client *rpc.Client) (func(context.Context) error, func() error, error) {
			w, err := s.newWorker(client, true)
			if err != nil {
				return nil, nil, err
			}
			return func(ctx context.Context) error { return s.serveWorker(ctx, w) }, w.Ready, nil
		})
		if err != nil {
			d.stop()
			return nil, err
		}
	}
	err := start("gateway", func(s *service, client *rpc.Client) (func(context.Context) error, func() error, error) {
		g, err := s.newGateway(client)
		if err != nil {
			return nil, nil, err
		}
		d.url = "http://" + g.addr()
		return func(ctx context.Context) error { return s.serveGateway(ctx, g) }, g.ready, nil
	})
	if err == nil {
		err = waitReady(ctx, ready, failed)
	}
	if err != nil {
		d.stop()
		return nil, err
	}
	return d, nil
}

// waitReady polls until all are ready.
func waitReady(ctx context.Context, ready []func() error, failed <-chan error) error {
	for {
		var last error
		for _, r := range ready {
			if err := r(); err != nil {
				last = err
			}
		}
		if last == nil {
			return nil
		}
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
			return fmt.Errorf("the demo did not become ready in time: %w", last)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// demoRequest is one request and the status that is right for it.
type demoRequest struct {
	method, path, contentType string
	body                      []byte
	status                    int
}

// demoRequests has one for each of the example's routes.
func demoRequests(picture []byte) []demoRequest {
	post := []byte(`{"title": "On streams", "body": "They queue.", "author": 3}`)
	return []demoRequest{
		{"GET", "/posts/7", "", nil, http.StatusOK},
		{"GET", "/posts", "", nil, http.StatusOK},
		{"POST", "/posts", "application/json", post, http.StatusCreated},
		{"POST", "/posts/image?width=64", "image/png", picture, http.StatusOK},
		{"GET", "/users/3", "", nil, http.StatusOK},
		{"GET", "/users?ids=3,7", "", nil, http.StatusOK},
		{"GET", "/comments?post=7", "", nil, http.StatusOK},
	}
}

// sendDemoRequests sends one request to each route, prints the answers, and counts those that are not as they should be.
func sendDemoRequests(ctx context.Context, out io.Writer, base string) (bad int, err error) {
	picture, err := demoPicture()
	if err != nil {
		return 0, err
	}
	requests := demoRequests(picture)
	client := &http.Client{Timeout: time.Minute}
	for _, r := range requests {
		fmt.Fprintf(out, "%s %s", r.method, r.path)
		if len(r.body) > 0 {
			fmt.Fprintf(out, "  (%d bytes of %s)", len(r.body), r.contentType)
		}
		fmt.Fprintln(out)
		req, err := http.NewRequestWithContext(ctx, r.method, base+r.path, bytes.NewReader(r.body))
		if err != nil {
			return bad, err
		}
		if r.contentType != "" {
			req.Header.Set("Content-Type", r.contentType)
		}
		began := time.Now()
		res, err := client.Do(req)
		if err != nil {
			if ctx.Err() != nil {
				return bad, ctx.Err()
			}
			fmt.Fprintf(out, "    %v\n\n", err)
			bad++
			continue
		}
		body, err := io.ReadAll(res.Body)
		took := time.Since(began)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != r.status {
			bad++
			fmt.Fprintf(out, "    NOT AS IT SHOULD BE: %d was expected (%v)\n", r.status, err)
		}
		fmt.Fprintf(out, "    %s, %d bytes of %s\n", res.Status, len(body), res.Header.Get("Content-Type"))
		fmt.Fprintf(out, "    %s\n    %s\n\n", timeSplit(res.Header.Values("Server-Timing"), took), preview(body))
	}
	return bad, nil
}

// timeSplit words a Server-Timing header: 12.1ms = HTTP and gateway 1.2ms + publish 0.2ms + queue 0.4ms + …
func timeSplit(headers []string, took time.Duration) string {
	var parts []string
	var call time.Duration
	for metric := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(metric), ";")
		for p := range strings.SplitSeq(params, ";") {
			millis, ok := strings.CutPrefix(strings.TrimSpace(p), "dur=")
			if !ok {
				continue
			}
			d, err := time.ParseDuration(millis + "ms")
			switch {
			case err != nil:
			case name == "total":
				call = d
			default:
				parts = append(parts, name+" "+short(d))
			}
		}
	}
	if len(parts) == 0 {
		return short(took)
	}
	return short(took) + " = HTTP and gateway " + short(max(0, took-call)) + " + " + strings.Join(parts, " + ")
}

func preview(body []byte) string {
	const width = 100
	text := string(body)
	for _, c := range text[:min(len(text), width)] {
		if c == '\uFFFD' || c < ' ' && c != '\n' && c != '\t' {
			return fmt.Sprintf("%q…", body[:min(len(body), 16)])
		}
	}
	text = oneLine(text)
	if r := []rune(text); len(r) > width {
		return string(r[:width]) + "…"
	}
	return text
}
