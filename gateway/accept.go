package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// acceptRetry is the wait after an accept that failed, as for want of file descriptors.
	acceptRetry = 50 * time.Millisecond
	// freshGrace is how long a shutdown waits for the first request of a connection that was taken before: browsers open
	// some that they may never use.
	freshGrace = time.Second
	// keepAlive finds connections whose peer is gone without a word.
	keepAlive = 30 * time.Second
)

// listen opens the address that cfg names.
func listen(cfg ServerConfig) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: keepAlive}
	lc.SetMultipathTCP(false) // Go's default; such sockets take no filter for ReusePort, and hardly any client speaks it
	if cfg.ReusePort {
		lc.Control = reusePort
	}
	ln, err := lc.Listen(context.Background(), "tcp", cfg.Addr)
	switch {
	case err == nil:
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("gateway: %s (%s) is in use by another process; stop that, or choose another address with %s: %w", cfg.Addr, cfg.AddrName, cfg.AddrName, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("gateway: %s (%s) needs a privilege that this process lacks; choose a port above 1023 with %s: %w", cfg.Addr, cfg.AddrName, cfg.AddrName, err)
	default:
		return nil, fmt.Errorf("gateway: can't listen on %s (%s): %w", cfg.Addr, cfg.AddrName, err)
	}
	if cfg.ReusePort {
		unsteer(ln)
	}
	return ln, nil
}

// acceptor is the listener that net/http sees: it takes connections from the real one, does TLS handshakes beside each
// other, and puts a guard on each HTTP/1 connection. Being told to stop, it first takes what waits in the system's queue:
// closing a listener resets what nobody accepted.
type acceptor struct {
	ln  net.Listener
	tls *tls.Config // nil without TLS
	cfg ServerConfig
	// direct gets the connections without TLS; nil: net/http does.
	direct *direct
	conns  chan net.Conn
	done   chan struct{}
	end    sync.Once

	stopping   chan struct{}
	stopOnce   sync.Once
	handshakes sync.WaitGroup
	started    chan struct{} // closed by run
	finished   chan struct{} // closed when run has ended

	fresh   atomic.Int64 // HTTP/1 connections without a request yet
	probing atomic.Bool  // steerAway wants to know who comes
	probed  sync.Map     // the addresses that came meanwhile
}

func newAcceptor(ln net.Listener, t *tls.Config, cfg ServerConfig) *acceptor {
	return &acceptor{ln: ln, tls: t, cfg: cfg, conns: make(chan net.Conn), done: make(chan struct{}), stopping: make(chan struct{}),
		started: make(chan struct{}), finished: make(chan struct{})}
}

// deadliner is what a TCP or Unix listener has beside net.Listener.
type deadliner interface{ SetDeadline(time.Time) error }

// run accepts until stop.
func (a *acceptor) run() {
	close(a.started)
	defer close(a.finished)
	for {
		c, err := a.ln.Accept()
		if err == nil {
			a.take(c)
			continue
		}
		select {
		case <-a.stopping:
			a.drain()
			return
		default:
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		a.cfg.Logger.Warn("accepting a connection failed", "addr", a.ln.Addr().String(), "error", err)
		select {
		case <-time.After(acceptRetry):
		case <-a.stopping:
		}
	}
}

// drain takes what the system has completed already and closes the listener right after that.
func (a *acceptor) drain() {
	for {
		c, err := acceptNow(a.ln)
		if err != nil {
			break
		}
		a.take(c)
	}
	_ = a.ln.Close() // nothing can be done about it
}

func (a *acceptor) take(c net.Conn) {
	if a.probing.Load() {
		a.probed.Store(c.RemoteAddr().String(), true)
	}
	switch {
	case a.tls != nil:
		a.handshakes.Go(func() { a.handshake(c) })
	case a.direct != nil && canServeDirect(c):
		a.direct.serve(a.watch(&guard{Conn: c}))
	default:
		a.give(a.watch(&guard{Conn: c}))
	}
}

func (a *acceptor) handshake(c net.Conn) {
	t := tls.Server(c, a.tls)
	ctx, cancel := context.WithTimeout(context.Background(), a.cfg.ReadHeaderTimeout)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		_ = c.Close() // a client that speaks no TLS, or no version of ours: its own error tells it
		return
	}
	if t.ConnectionState().NegotiatedProtocol == "h2" {
		a.give(t) // net/http knows HTTP/2 by the connection's type
		return
	}
	g := &tlsGuard{guard: guard{Conn: t}, tls: t}
	a.watch(&g.guard)
	a.give(g)
}

// watch counts a connection until its first request arrives.
func (a *acceptor) watch(g *guard) *guard {
	g.fresh = &a.fresh
	a.fresh.Add(1)
	return g
}

func (a *acceptor) give(c net.Conn) {
	select {
	case a.conns <- c:
	case <-a.done:
		_ = c.Close()
	}
}

// Accept is net/http's.
func (a *acceptor) Accept() (net.Conn, error) {
	select {
	case c := <-a.conns:
		return c, nil
	case <-a.done:
		return nil, net.ErrClosed
	}
}

// Addr is net/http's.
func (a *acceptor) Addr() net.Addr { return a.ln.Addr() }

// stop ends accepting and returns when every connection that was taken is in net/http's hands, or ctx ends.
func (a *acceptor) stop(ctx context.Context) {
	a.stopOnce.Do(func() {
		close(a.stopping)
		if d, ok := a.ln.(deadliner); !ok || d.SetDeadline(time.Unix(1, 0)) != nil {
			_ = a.ln.Close() // it can't be drained
		}
	})
	select {
	case <-a.started:
		<-a.finished
	default: // Serve was never called
		_ = a.ln.Close()
	}
	shaken := make(chan struct{})
	go func() {
		a.handshakes.Wait()
		close(shaken)
	}()
	select {
	case <-shaken:
	case <-ctx.Done():
	}
}

// settle waits until every connection that was taken has brought its first request to the handler: net/http drops, without
// an answer, a request that it reads after its shutdown began. It gives up on those that say nothing for freshGrace.
func (a *acceptor) settle(ctx context.Context) {
	for end := time.Now().Add(freshGrace); a.fresh.Load() > 0 && ctx.Err() == nil && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

// Close is net/http's, at the end of its own shutdown. Until stop it must not lose connections.
func (a *acceptor) Close() error {
	a.end.Do(func() { close(a.done) })
	return nil
}
