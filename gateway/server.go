package gateway

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// ServerConfig has the settings of a Server. The zero value listens on DefaultAddr without TLS.
type ServerConfig struct {
	// Addr to listen on; "" means DefaultAddr, which only this machine reaches.
	Addr string
	// AddrName is what errors call Addr, for a user who set it by a flag; "" means "--listen".
	AddrName string
	// Listener is used instead of Addr: one that was inherited, or a test's. The server closes it.
	Listener net.Listener
	// CertFile and KeyFile, both or none, are PEM files that switch TLS and HTTP/2 on. A changed pair is read again.
	CertFile, KeyFile string
	// H2C takes HTTP/2 without TLS as well, from clients that know beforehand.
	H2C bool
	// ReusePort lets several processes listen on the same address at once (Linux only), for a restart without a pause: see
	// Shutdown.
	ReusePort bool
	// Wrap, if set, goes around the gateway: tracing, for instance. It must not keep a request or its Header after it has
	// returned, and can send no trailers and no informational answers, nor hijack a connection unless the client asked for
	// an upgrade; OnlyNetHTTP takes these limits away.
	Wrap func(http.Handler) http.Handler
	// OnlyNetHTTP leaves all connections to net/http. By default it serves TLS, HTTP/2 and whatever is unusual, and plain
	// HTTP/1.1 requests, of a kind that can be read in one way only, are served by this package at half the cost.
	OnlyNetHTTP bool
	// ReadHeaderTimeout bounds reading a request's header and a TLS handshake, ReadTimeout a whole request with its body (408),
	// IdleTimeout the wait for a connection's next request. How long a client may take to read an answer is
	// Config.WriteTimeout; a call is bounded by its route. 0 means the defaults.
	ReadHeaderTimeout, ReadTimeout, IdleTimeout time.Duration
	// LameDuck is how long a shutdown goes on taking requests, each answered with Connection: close, before it stops
	// listening: long enough for load balancers to see that Ready fails, and for clients to move their connections while
	// they use them. 0 means none.
	LameDuck time.Duration
	// Logger gets what goes wrong with connections, at most a line a second; nil means slog.Default.
	Logger *slog.Logger
}

// Defaults of ServerConfig.
const (
	DefaultAddr              = "127.0.0.1:8080"
	DefaultReadHeaderTimeout = 5 * time.Second
	DefaultReadTimeout       = 30 * time.Second
	DefaultIdleTimeout       = 2 * time.Minute
)

// Server serves a Gateway over HTTP/1.1 and HTTP/2.
type Server struct {
	g       *Gateway
	http    *http.Server
	accept  *acceptor
	direct  *direct // nil when net/http serves everything
	guards  guards
	cfg     ServerConfig
	log     *slog.Logger
	done    chan struct{} // closed when Shutdown has ended
	end     sync.Once
	failure error
}

// NewServer listens, so that the address is taken when it returns; connections wait until Serve. Errors name the address
// and its flag, or the file.
func NewServer(g *Gateway, cfg ServerConfig) (*Server, error) {
	cfg.Addr = orString(cfg.Addr, DefaultAddr)
	cfg.AddrName = orString(cfg.AddrName, "--listen")
	if cfg.ReadHeaderTimeout < 0 || cfg.ReadTimeout < 0 || cfg.IdleTimeout < 0 || cfg.LameDuck < 0 {
		return nil, errors.New("gateway: the timeouts of ServerConfig must not be negative")
	}
	cfg.ReadHeaderTimeout = orDuration(cfg.ReadHeaderTimeout, DefaultReadHeaderTimeout)
	cfg.ReadTimeout = orDuration(cfg.ReadTimeout, DefaultReadTimeout)
	cfg.IdleTimeout = orDuration(cfg.IdleTimeout, DefaultIdleTimeout)
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	tlsConfig, err := cfg.tls()
	if err != nil {
		return nil, err
	}
	ln := cfg.Listener
	if ln == nil {
		if ln, err = listen(cfg); err != nil {
			return nil, err
		}
	}
	s := &Server{g: g, cfg: cfg, log: cfg.Logger, done: make(chan struct{})}
	s.accept = newAcceptor(ln, tlsConfig, cfg)
	var handler http.Handler = g
	if cfg.Wrap != nil {
		handler = cfg.Wrap(g)
	}
	inner := handler
	handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c := guardOf(r.Context()); c != nil {
			c.arrive()
		}
		inner.ServeHTTP(w, r)
	})
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(tlsConfig != nil)
	protocols.SetUnencryptedHTTP2(cfg.H2C)
	s.http = &http.Server{
		Handler: handler, Protocols: protocols, ConnContext: withGuard, ConnState: s.guards.state, MaxHeaderBytes: g.cfg.HeaderLimit,
		ReadHeaderTimeout: cfg.ReadHeaderTimeout, ReadTimeout: cfg.ReadTimeout, IdleTimeout: cfg.IdleTimeout,
		// The gateway puts it off for a call that lasts longer: see extendDeadline.
		WriteTimeout: cfg.ReadTimeout + g.cfg.Timeout + g.cfg.WriteTimeout,
		ErrorLog:     log.New(&lineLogger{log: s.log, g: g}, "", 0),
		TLSConfig:    tlsConfig, // for HTTP/2; the acceptor does the handshakes
	}
	if tlsConfig == nil && !cfg.OnlyNetHTTP {
		s.direct = newDirect(inner, s.http, s.accept)
		s.accept.direct = s.direct
	}
	return s, nil
}

func orString(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func orDuration(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// Addr is where the server listens, with the port that the system chose.
func (s *Server) Addr() net.Addr { return s.accept.ln.Addr() }

// Serve takes connections until Shutdown or Close has ended, and then returns nil; otherwise what stopped it. It may be
// called once.
func (s *Server) Serve() error {
	if s.direct != nil {
		go s.direct.run(s.done)
	}
	go s.accept.run()
	if err := s.http.Serve(s.accept); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		s.finish(err)
	}
	<-s.done
	return s.failure
}

// Run serves until ctx ends, then shuts down and waits at most drain for requests under way, besides ServerConfig.LameDuck.
func (s *Server) Run(ctx context.Context, drain time.Duration) error {
	stopped := make(chan error, 1)
	go func() { stopped <- s.Serve() }()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
	}
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain+s.cfg.LameDuck)
	defer cancel()
	err := s.Shutdown(bound)
	return errors.Join(err, <-stopped)
}

// Shutdown ends the server without losing a request: Gateway.Ready fails from now on; for ServerConfig.LameDuck, requests
// are still taken and each answer asks its client to connect anew; then no connection is taken any more, those that wait to
// be accepted are still served, and requests under way are answered. With ReusePort the system is told first to give new
// connections to the other listeners. When ctx ends before all that, the connections are cut and the error says how many
// requests were. The client's own calls are over when it returns; the rpc.Client is still to be closed.
func (s *Server) Shutdown(ctx context.Context) error {
	s.g.draining.Store(true)
	s.accept.steerAway()
	if s.cfg.LameDuck > 0 {
		t := time.NewTimer(s.cfg.LameDuck)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		case <-s.done:
		}
	}
	s.accept.stop(ctx)
	s.accept.settle(ctx)
	s.guards.retire(ctx)
	var err error
	if s.direct != nil {
		err = s.direct.drain(ctx)
		s.accept.settle(ctx) // what was handed over meanwhile
	}
	if err == nil {
		err = s.http.Shutdown(ctx)
	}
	if err != nil {
		n := s.g.InFlight()
		err = fmt.Errorf("gateway: %d requests were cut off after the time to drain: %w", n, err)
		err = errors.Join(err, s.cut())
	}
	s.finish(nil)
	return err
}

// Close cuts everything off.
func (s *Server) Close() error {
	s.g.draining.Store(true)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	s.accept.stop(ended)
	err := s.cut()
	s.finish(nil)
	return err
}

// cut closes every connection.
func (s *Server) cut() error {
	if s.direct != nil {
		s.direct.closeAll()
	}
	return s.http.Close()
}

func (s *Server) finish(err error) {
	s.end.Do(func() {
		s.failure = err
		close(s.done)
	})
}

// lineLogger is the target of net/http's own log: mostly what clients do wrong, so it is bounded.
type lineLogger struct {
	log *slog.Logger
	g   *Gateway
}

func (l *lineLogger) Write(p []byte) (int, error) {
	l.g.warnings.Do(func() { l.log.Warn("http server", "message", string(p[:max(0, len(p)-1)])) })
	return len(p), nil
}
