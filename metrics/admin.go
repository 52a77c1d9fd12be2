package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// AdminConfig has the settings of an admin server.
type AdminConfig struct {
	// Addr to listen at, "host:port"; "" means DefaultAdminAddr. Port 0 picks a free one. Who reaches it reads the metrics
	// without authentication: keep it off public networks.
	Addr string
	// Gatherer is what /metrics shows, usually Metrics.Registry(); nil means no /metrics.
	Gatherer prometheus.Gatherer
	// Checks are what /readyz asks, by name; AddCheck adds more later.
	Checks map[string]Check
	// Pprof serves /debug/pprof. It shows the program's inside and costs CPU when asked: off unless wanted.
	Pprof bool
	// Logger gets the server's own complaints; nil means slog.Default().
	Logger *slog.Logger
}

// Check reports nil when a part is ready, else why not. It must not block and may be called concurrently.
type Check func() error

// DefaultAdminAddr is reachable only from the same machine; 9464 is the port that OpenTelemetry's Prometheus exporters use.
const DefaultAdminAddr = "127.0.0.1:9464"

// Time limits of the admin server. Its requests have no bodies and its answers are small.
const (
	adminReadTimeout  = 5 * time.Second
	adminWriteTimeout = 15 * time.Second
	adminIdleTimeout  = time.Minute
	adminMaxHeader    = 16 << 10
	// pprofWriteTimeout leaves room for a profile of up to a minute.
	pprofWriteTimeout = 75 * time.Second
	// adminScrapes bounds the /metrics answers that are made at once.
	adminScrapes = 4
)

// Admin is an HTTP server beside the traffic: /metrics, /healthz, /readyz and perhaps /debug/pprof.
type Admin struct {
	server   *http.Server
	listener net.Listener
	done     chan error

	mu     sync.RWMutex
	checks map[string]Check
}

// StartAdmin listens and serves in the background until Close. The error names the address, and says so when it is in use.
func StartAdmin(cfg AdminConfig) (*Admin, error) {
	if cfg.Addr == "" {
		cfg.Addr = DefaultAdminAddr
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	l, err := net.Listen("tcp", cfg.Addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("admin: address %s is in use by another program: stop it or set another admin address (port 0 picks a free one): %w", cfg.Addr, err)
	}
	if err != nil {
		return nil, fmt.Errorf("admin: can't listen at %q, which should look like %s: %w", cfg.Addr, DefaultAdminAddr, err)
	}
	a := &Admin{listener: l, done: make(chan error, 1), checks: map[string]Check{}}
	maps.Copy(a.checks, cfg.Checks)
	a.server = &http.Server{
		Handler: a.handler(cfg), ReadHeaderTimeout: adminReadTimeout, ReadTimeout: adminReadTimeout, IdleTimeout: adminIdleTimeout,
		MaxHeaderBytes: adminMaxHeader, ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelWarn),
		// WriteTimeout is set for each path by within: pprof refuses a profile longer than the server's.
	}
	go func() {
		err := a.server.Serve(l)
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		a.done <- err
	}()
	return a, nil
}

// Addr is where it listens, with the port that was picked.
func (a *Admin) Addr() string { return a.listener.Addr().String() }

// AddCheck adds a readiness check or replaces the one of that name. It may be called while serving.
func (a *Admin) AddCheck(name string, c Check) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.checks[name] = c
}

// Close stops listening and waits for requests in flight until ctx ends, then cuts them. It returns what ended the server,
// nil in the normal case.
func (a *Admin) Close(ctx context.Context) error {
	if err := a.server.Shutdown(ctx); err != nil {
		_ = a.server.Close()
	}
	select {
	case err := <-a.done:
		a.done <- err // for a second Close
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *Admin) handler(cfg AdminConfig) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", within(adminWriteTimeout, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	}))
	mux.Handle("GET /readyz", within(adminWriteTimeout, a.ready))
	if cfg.Gatherer != nil {
		mux.Handle("GET /metrics", within(adminWriteTimeout, promhttp.HandlerFor(cfg.Gatherer, promhttp.HandlerOpts{
			// One broken metric must not hide the others; it is logged.
			ErrorHandling: promhttp.ContinueOnError, ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelWarn), MaxRequestsInFlight: adminScrapes,
		}).ServeHTTP))
	}
	if cfg.Pprof {
		for path, h := range map[string]http.HandlerFunc{"": pprof.Index, "cmdline": pprof.Cmdline, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace} {
			mux.Handle("GET /debug/pprof/"+path, within(pprofWriteTimeout, h))
		}
	}
	return mux
}

// within bounds the time that writing h's answer may take.
func within(d time.Duration, h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d)) // supported by every server's own writer
		h(w, r)
	})
}

// readiness is /readyz's answer: every check by name with "ok" or why not.
type readiness struct {
	Ready  bool              `json:"ready"`
	Failed []string          `json:"failed,omitempty"`
	Checks map[string]string `json:"checks"`
}

func (a *Admin) ready(w http.ResponseWriter, _ *http.Request) {
	a.mu.RLock()
	checks := maps.Clone(a.checks)
	a.mu.RUnlock()
	out := readiness{Ready: true, Checks: map[string]string{}}
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		out.Checks[name] = "ok"
		if err := checks[name](); err != nil {
			out.Ready, out.Checks[name] = false, redactText(err.Error())
			out.Failed = append(out.Failed, name)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !out.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(out) // a prober that left
}
