package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamerson/streamerson/internal/quietconn"
)

// direct serves plain HTTP/1.1 beside net/http, at half its cost: no goroutine, timer and read ahead for each request, no
// copies of headers, one write for an answer. It takes only requests that can be read in one way (see parseHead). A
// connection that brings any other, such as a chunked one, an upgrade or HTTP/2, goes to net/http with every byte from that
// request on, and stays there; so what is unusual or malformed is judged by net/http alone.
type direct struct {
	handler http.Handler
	http    *http.Server // its timeouts and log, and where connections are handed over to
	accept  *acceptor
	base    context.Context
	tick    time.Duration
	// clock is direct's time in nanoseconds: deadlines need none that is finer than the sweeps. A sweep advances it by what
	// passed, but at most by two ticks, so that a process that was stopped for a while doesn't take it for its clients' delay.
	clock atomic.Int64

	mu     sync.Mutex
	open   map[*directConn]struct{}
	closed bool
}

const (
	// directTick is how often deadlines and clients that may have left are looked at: a timeout is told up to three of them
	// late, and a worker learns as late that its client has left. Timers and a read for each request would cost more than
	// all the rest of this file.
	directTick = 100 * time.Millisecond
	// directTicks is how many sweeps the shortest timeout takes at least.
	directTicks = 10
	// directMinTick bounds that for timeouts of some milliseconds.
	directMinTick = 2 * time.Millisecond
)

func newDirect(h http.Handler, srv *http.Server, a *acceptor) *direct {
	d := &direct{handler: h, http: srv, accept: a, open: map[*directConn]struct{}{}, tick: directTick}
	for _, t := range []time.Duration{srv.ReadHeaderTimeout, srv.ReadTimeout, srv.IdleTimeout} {
		d.tick = min(d.tick, max(t/directTicks, directMinTick))
	}
	d.base = context.WithValue(context.Background(), http.ServerContextKey, srv)
	return d
}

// after is direct's time when t has passed for certain: the next sweep may be due, and then advances the clock by two ticks.
func (d *direct) after(t time.Duration) int64 { return d.clock.Load() + int64(t+2*d.tick) }

// run sweeps until done is closed.
func (d *direct) run(done <-chan struct{}) {
	t := time.NewTicker(d.tick)
	defer t.Stop()
	for last := time.Now(); ; {
		select {
		case <-done:
			return
		case <-t.C:
		}
		now := time.Now()
		d.sweep(d.clock.Load() + int64(min(now.Sub(last), 2*d.tick)))
		last = now
	}
}

// sweep ends what has taken too long by now, and tells the calls of clients that left.
func (d *direct) sweep(now int64) {
	d.clock.Store(now)
	past := time.Unix(1, 0)
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.open {
		reading := c.readBy.Load()
		if reading != 0 && reading < now {
			_ = c.conn.SetReadDeadline(past) // it is closed already
		}
		if by := c.writeBy.Load(); by != 0 && by < now {
			_ = c.conn.SetWriteDeadline(past)
		}
		// While a body is still read the handler itself sees the end.
		if since := c.calling.Load(); since != 0 && reading == 0 && now-since > int64(d.tick) && peerGone(c.conn) {
			c.cancel()
		}
	}
}

// conn makes a connection's state.
func (d *direct) conn(g *guard) *directConn {
	c := &directConn{d: d, guard: g, conn: g.Conn, quiet: quietconn.New(g.Conn), remote: g.RemoteAddr().String()}
	var ctx context.Context
	ctx, c.cancel = context.WithCancel(context.WithValue(d.base, http.LocalAddrContextKey, g.LocalAddr()))
	c.blank = (&http.Request{}).WithContext(ctx)
	c.ctx = ctx
	return c
}

// serve takes a connection and returns at once. The guard counts it among those that have brought no request yet.
func (d *direct) serve(g *guard) {
	c := d.conn(g)
	d.mu.Lock()
	closed := d.closed
	if !closed {
		d.open[c] = struct{}{}
	}
	d.mu.Unlock()
	if closed {
		c.cancel()
		_ = g.Close()
		return
	}
	go c.serve()
}

// remove takes a connection that ends, or goes to net/http.
func (d *direct) remove(c *directConn) {
	d.mu.Lock()
	delete(d.open, c)
	d.mu.Unlock()
}

// drain returns when no connection is left here: each ends after its request, for the gateway is draining. Those that wait
// for a request get no more than what has arrived, as in guards.retire.
func (d *direct) drain(ctx context.Context) error {
	const longest = 20 * time.Millisecond
	for wait := time.Millisecond; ; wait = min(2*wait, longest) {
		d.mu.Lock()
		left := len(d.open)
		for c := range d.open {
			if c.guard.idle.Load() {
				c.guard.closeRead()
			}
		}
		d.mu.Unlock()
		if left == 0 {
			return nil
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
	}
}

// closeAll cuts everything off.
func (d *direct) closeAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for c := range d.open {
		c.cancel()
		_ = c.guard.Close()
	}
}

// invoke runs the handler and reports whether its answer may be sent: a panic is logged as net/http does it.
func (c *directConn) invoke() (ok bool) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		ok = false
		if err, isErr := p.(error); isErr && errors.Is(err, http.ErrAbortHandler) {
			return
		}
		stack := make([]byte, 64<<10)
		c.d.http.ErrorLog.Printf("http: panic serving %v: %v\n%s", c.remote, p, stack[:runtime.Stack(stack, false)])
	}()
	c.d.handler.ServeHTTP(&c.w, c.req)
	return true
}

// replayed is a connection whose first bytes have been read before.
type replayed struct {
	net.Conn
	rest []byte
}

func (r *replayed) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return r.Conn.Read(p)
	}
	n := copy(p, r.rest)
	if r.rest = r.rest[n:]; len(r.rest) == 0 {
		r.rest = nil
	}
	return n, nil
}

// CloseWrite and CloseRead are for the guard.
func (r *replayed) CloseWrite() error {
	if c, ok := r.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// CloseRead is for a guard that retires.
func (r *replayed) CloseRead() error {
	if c, ok := r.Conn.(interface{ CloseRead() error }); ok {
		return c.CloseRead()
	}
	return nil
}
