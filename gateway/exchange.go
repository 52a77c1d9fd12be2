package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/streamerson/streamerson/rpc"
)

// exchange is one HTTP request until it is answered. It is the writer that the mux and the CORS layer get, so that what
// they answer themselves (not found, method not allowed, redirects, preflights) is seen and told in the same way.
type exchange struct {
	g       *Gateway
	w       http.ResponseWriter
	r       *http.Request
	route   *route // nil until one matched
	started time.Time
	srv     *http.Server // nil when there is none in the context

	requestID string
	cors      bool
	status    int
	written   int
	refused   bool // an answer in place of the mux's has been written

	req  rpc.Request
	body *[]byte
}

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

var closeConnection = []string{"close"}

func newExchange(g *Gateway, w http.ResponseWriter, r *http.Request) *exchange {
	x := exchanges.Get().(*exchange)
	x.g, x.w, x.r, x.started = g, w, r, time.Now()
	if d, ok := w.(*directWriter); ok {
		x.srv = d.c.d.http
	} else {
		x.srv, _ = r.Context().Value(http.ServerContextKey).(*http.Server)
	}
	x.req.ID = rpc.NewID()
	if v := r.Header[headerRequestID]; len(v) == 1 && saneRequestID(v[0]) {
		x.requestID = v[0]
	} else {
		x.requestID = x.req.ID.String()
	}
	h := w.Header()
	h[headerRequestID] = []string{x.requestID}
	// What follows a chunked request on its connection may have been read by a proxy as a part of it: nothing does.
	if r.ProtoMajor == 1 && (len(r.TransferEncoding) > 0 || g.draining.Load()) {
		h["Connection"] = closeConnection
	}
	return x
}

// end tells the observer and the log, and gives back what is pooled.
func (x *exchange) end() {
	took := time.Since(x.started)
	pattern := ""
	if x.route != nil {
		pattern = x.route.pattern
	}
	if x.status == 0 {
		x.status = StatusClientGone // a panic on its way up, too, closes the connection without an answer
	}
	x.g.cfg.Observer.RequestDone(pattern, x.status, took)
	if log := x.g.cfg.AccessLog; log != nil {
		log.LogAttrs(context.WithoutCancel(x.r.Context()), slog.LevelInfo, "request",
			slog.String("method", x.r.Method), slog.String("route", pattern), slog.String("path", x.r.URL.EscapedPath()),
			slog.Int("status", x.status), slog.Int("bytes", x.written), slog.Duration("took", took),
			slog.String("client", clientAddr(x.r.RemoteAddr)), slog.String("request_id", x.requestID))
	}
	fields := x.req.Header[:cap(x.req.Header)]
	clear(fields) // the strings are the request's
	x.dropBody()
	*x = exchange{req: rpc.Request{Header: fields[:0]}}
	if cap(fields) <= maxKeptFields {
		exchanges.Put(x)
	}
}

// maxKeptFields is the longest header that stays in the pool.
const maxKeptFields = 128

// Header is for the mux and the CORS layer.
func (x *exchange) Header() http.Header { return x.w.Header() }

// WriteHeader is for the mux and the CORS layer: refusals become problems, the rest passes.
func (x *exchange) WriteHeader(status int) {
	switch {
	case status == http.StatusNotFound:
		x.refused = true
		x.fail(noRoute)
	case status == http.StatusMethodNotAllowed:
		x.refused = true
		x.fail(methodNotAllowed)
	case status >= 400:
		x.refused = true
		x.fail(badTarget)
	default:
		x.writeHeader(status)
	}
}

// Write is for the mux's redirects.
func (x *exchange) Write(p []byte) (int, error) {
	if x.refused {
		return len(p), nil // the mux's own words for what has been told already
	}
	return x.write(p)
}

func (x *exchange) writeHeader(status int) {
	x.status = status
	x.w.WriteHeader(status)
}

func (x *exchange) write(p []byte) (int, error) {
	n, err := x.w.Write(p) //nolint:gosec // a proxy passes on what the worker said; nothing of it is made from the request here
	x.written += n
	return n, err
}

// serve runs the request that matched rt, from the limits to the answer.
func (x *exchange) serve(rt *route) {
	if !x.g.inFlight.take() {
		x.fail(tooManyInFlight)
		return
	}
	defer x.g.inFlight.free()
	if !rt.inFlight.take() {
		x.fail(tooManyOnRoute)
		return
	}
	defer rt.inFlight.free()

	identity := ""
	if auth := x.g.cfg.Auth; auth != nil && !rt.Public {
		var err error
		if identity, err = auth.Authenticate(x.r); err != nil {
			x.unauthenticated(err)
			return
		}
	}
	timeout, p := x.timeout(rt)
	if p == nil {
		p = x.readHeader(rt, identity)
	}
	if p == nil {
		p = x.readBody(rt.BodyLimit)
	}
	if p != nil {
		x.fail(p)
		return
	}
	x.req.Stream, x.req.Function, x.req.Pack = rt.Stream, rt.Function, rt.Pack
	x.extendDeadline(timeout)
	if rt.OneWay {
		x.send(timeout)
		return
	}
	x.req.Timeout = timeout // the client's own timer is cheaper than a context's
	resp, err := x.g.caller.Call(x.r.Context(), &x.req)
	x.dropBody()
	if err != nil {
		x.failCall(err)
		return
	}
	x.respond(resp)
}

func (x *exchange) send(timeout time.Duration) {
	// Request.Timeout would make the message itself expire.
	ctx, cancel := context.WithTimeout(x.r.Context(), timeout)
	defer cancel()
	x.req.OneWay = true
	if err := x.g.caller.Send(ctx, &x.req); err != nil {
		x.failCall(err)
		return
	}
	x.writeHeader(http.StatusAccepted)
}

// timeout is the route's, or less if the client asks for less.
func (x *exchange) timeout(rt *route) (time.Duration, *problem) {
	v := x.r.Header[headerTimeout]
	if len(v) == 0 {
		return rt.Timeout, nil
	}
	d, err := time.ParseDuration(v[0])
	if len(v) > 1 || err != nil || d <= 0 {
		return 0, badTimeout
	}
	return min(d, rt.Timeout), nil
}

// extendDeadline keeps the server's write timeout, which counts from the request's beginning, from ending a long call: HTTP/2
// resets a stream when it passes. (net/http takes the read timeout away itself when the body has been read.)
func (x *exchange) extendDeadline(timeout time.Duration) {
	// A second more: it must never beat the call's own.
	ends := time.Since(x.started) + timeout + time.Second + x.g.cfg.WriteTimeout
	if x.srv == nil || x.srv.WriteTimeout <= 0 || ends <= x.srv.WriteTimeout {
		return
	}
	// A writer that can't do it is not on a connection, and has no deadline that could end.
	_ = http.NewResponseController(x.w).SetWriteDeadline(x.started.Add(ends))
}

// clientGone reports whether an error of a call comes from the client's own leaving.
func (x *exchange) clientGone(err error) bool {
	return rpc.CodeOf(err) == rpc.CodeCanceled && errors.Is(context.Cause(x.r.Context()), context.Canceled)
}
