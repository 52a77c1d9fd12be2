package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/rpc/wire"
)

// ForwardOptions has the settings of Forward. The zero value works.
type ForwardOptions struct {
	// Slots is how many requests the worker runs at once: as many idle connections to the target are kept. 0 means
	// rpc.DefaultSlots.
	Slots int
	// MaxResponse is the largest response body in bytes; 0 means DefaultMaxResponse.
	MaxResponse int
	// DialWait is how long a request waits for a target that refuses connections, so that its restart costs no request; it
	// also keeps a worker with a dead target from draining the stream with errors. 0 means DefaultDialWait, negative means
	// not to wait. Nothing was sent by then, so nothing runs twice.
	DialWait time.Duration
	// HealthPath is what WaitReady asks the target for ("/healthz"); "" means that a connection is enough.
	HealthPath string
	// Functions gives messages that come without a request line one, by their function: "posts.list": "GET /posts". Gateways
	// and RoundTripper send a request line; a plain rpc.Client doesn't. Others are POST /<function>.
	Functions map[string]string
}

// Defaults of ForwardOptions and limits of Forward.
const (
	// DefaultDialWait leaves room within the second in which a gateway promises its 503.
	DefaultDialWait = 500 * time.Millisecond
	// targetIdle is shorter than the keep-alive of gunicorn (2 s), Node.js and uvicorn (5 s): the target must not close a
	// connection while we send on it. A new connection on loopback costs less than 0.1 ms.
	targetIdle = 1500 * time.Millisecond
	// dialTimeout bounds one attempt to connect.
	dialTimeout = 2 * time.Second
)

// forwarder sends requests to one target.
type forwarder struct {
	target    *url.URL
	name      string // the target without a password
	transport *http.Transport
	limit     int
	dialWait  time.Duration
	lines     map[string]requestLine
}

// Forward makes an HTTP server in any language a worker: the handler sends each request to target (http:// or https://, with
// an optional path in front) and answers with what the server answered, whatever the status, as HTTP does. It follows no
// redirects and uses no proxy. The server sees HeaderTimeout and loses the connection when the deadline passes or the
// caller has gone. Forward connects to nothing itself: see WaitReady. An error names what is wrong in target.
//
// A server that can't be reached is CodeUnavailable with RetryAfter after DialWait; one that breaks the connection before
// it answered is CodeUnavailable without, since the request may have run; one that doesn't speak HTTP is CodeInternal, as
// is a response over the limit.
func Forward(target string, opts ForwardOptions) (rpc.Handler, error) {
	f, err := newForwarder(target, opts)
	if err != nil {
		return nil, err
	}
	return f.handle, nil
}

func newForwarder(target string, opts ForwardOptions) (*forwarder, error) {
	u, err := parseTarget(target)
	if err != nil {
		return nil, err
	}
	if opts.HealthPath != "" && opts.HealthPath[0] != '/' {
		return nil, fmt.Errorf("worker: health path %q must begin with /", opts.HealthPath)
	}
	slots := opts.Slots
	if slots <= 0 {
		slots = rpc.DefaultSlots
	}
	f := &forwarder{target: u, name: u.Redacted(), limit: opts.MaxResponse, dialWait: opts.DialWait, lines: map[string]requestLine{}}
	for function, line := range opts.Functions {
		l, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("worker: function %q: %w", function, err)
		}
		f.lines[function] = l
	}
	if f.limit <= 0 {
		f.limit = DefaultMaxResponse
	}
	if f.dialWait == 0 {
		f.dialWait = DefaultDialWait
	}
	f.transport = &http.Transport{
		DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
		MaxIdleConns:           slots,
		MaxIdleConnsPerHost:    slots,
		IdleConnTimeout:        targetIdle,
		DisableCompression:     true, // what the caller accepts is between it and the target
		MaxResponseHeaderBytes: wire.MaxFieldBytes,
	}
	return f, nil
}

func parseTarget(target string) (*url.URL, error) {
	u, err := url.Parse(target)
	switch {
	case err != nil:
		// url.Parse's error repeats the whole URL, and with it a password.
		return nil, errors.New("worker: the forward target can't be parsed; it looks like http://127.0.0.1:3000")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("worker: forward target %q must begin with http:// or https://, like http://127.0.0.1:3000", u.Redacted())
	case u.Hostname() == "":
		return nil, fmt.Errorf("worker: forward target %q names no host; it looks like http://127.0.0.1:3000", u.Redacted())
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("worker: forward target %q has a query or fragment; only scheme, host, port and a path are allowed", u.Redacted())
	}
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.RawPath, "/")
	return u, nil
}

func (f *forwarder) handle(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
	out := &outbound{}
	out.lines = f.lines
	r, err := out.request(ctx, req)
	if err != nil {
		return nil, err
	}
	f.aim(r)
	if t, ok := ctx.Deadline(); ok {
		r.Header["X-Streamerson-Timeout-Ms"] = []string{strconv.FormatInt(max(0, time.Until(t).Milliseconds()), 10)}
	}
	res, err := f.send(ctx, r, out)
	if err != nil {
		return nil, f.failure(ctx, err)
	}
	resp, err := f.read(res)
	// The transport may still read the request's body, which belongs to the server again once we return.
	out.wait()
	if err != nil {
		if ctx.Err() != nil {
			return nil, f.failure(ctx, err)
		}
		return nil, err
	}
	return answer(req, resp)
}

// aim points an inbound request at the target.
func (f *forwarder) aim(r *http.Request) {
	u := r.URL
	u.Scheme, u.Host, u.User = f.target.Scheme, f.target.Host, f.target.User
	if f.target.Path != "" {
		if u.RawPath != "" || f.target.RawPath != "" {
			u.RawPath = f.target.EscapedPath() + u.EscapedPath()
		}
		u.Path = f.target.Path + u.Path
	}
	if u.User != nil && r.Header["Authorization"] == nil {
		pw, _ := u.User.Password()
		r.SetBasicAuth(u.User.Username(), pw)
	}
	r.RequestURI = ""
	delete(r.Header, "Expect") // the body is here already: there is nothing to wait for
	if r.Header["User-Agent"] == nil {
		r.Header["User-Agent"] = []string{""} // otherwise the transport would name itself
	}
}

// send makes the round trip, and tries again while the target refuses connections.
func (f *forwarder) send(ctx context.Context, r *http.Request, out *outbound) (*http.Response, error) {
	giveUp := time.Now().Add(f.dialWait)
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		out.arm(r)
		res, err := f.transport.RoundTrip(r)
		if err == nil {
			return res, nil
		}
		out.wait()
		if !refused(err) || time.Until(giveUp) < pause {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

// refused reports whether a connection could not be made, so that nothing was sent.
func refused(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// failure is the answer when the target gave none.
func (f *forwarder) failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return gaveUp(ctx, f.name)
	}
	var e *rpc.Error
	opErr, isNet := errors.AsType[*net.OpError](err)
	switch {
	case isNet && opErr.Op == "dial":
		e = runtimeError(rpc.CodeUnavailable, "%s can't be reached", f.name)
		e.RetryAfter = time.Second
	case isNet, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		e = runtimeError(rpc.CodeUnavailable, "%s closed the connection before it answered; the request may have run", f.name)
	default:
		e = runtimeError(rpc.CodeInternal, "%s gave no valid HTTP response", f.name)
	}
	e.Err = err
	return e
}

// read takes the whole response.
func (f *forwarder) read(res *http.Response) (*rpc.Response, error) {
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode < 200 {
		return nil, runtimeError(rpc.CodeInternal, "%s switched protocols (status %d), which a stream can't carry", f.name, res.StatusCode)
	}
	if res.ContentLength > int64(f.limit) && res.Request.Method != http.MethodHead {
		return nil, tooLarge(f.limit)
	}
	resp := &rpc.Response{
		Status: res.StatusCode, ContentType: res.Header.Get("Content-Type"),
		Header: appendFields(make(rpc.Header, 0, len(res.Header)), res.Header, ownResponseKey),
	}
	if res.Request.Method == http.MethodHead {
		if res.ContentLength >= 0 {
			resp.Header = append(resp.Header, rpc.Field{Name: "Content-Length", Value: strconv.FormatInt(res.ContentLength, 10)})
		}
		return resp, nil
	}
	body, err := readBody(res.Body, res.ContentLength, f.limit)
	switch {
	case errors.Is(err, errTooLarge):
		return nil, tooLarge(f.limit)
	case err != nil:
		e := runtimeError(rpc.CodeUnavailable, "%s broke off its response", f.name)
		e.Err = err
		return nil, e
	}
	resp.Body = body
	return resp, nil
}

var errTooLarge = errors.New("worker: body too large")

// readBody reads r to its end: into one exact slice when the length is known, and at most limit bytes in any case.
func readBody(r io.Reader, length int64, limit int) ([]byte, error) {
	if length == 0 {
		return nil, nil
	}
	if length > int64(limit) {
		return nil, errTooLarge
	}
	if length > 0 {
		b := make([]byte, length)
		_, err := io.ReadFull(r, b)
		return b, err
	}
	b, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err == nil && len(b) > limit {
		err = errTooLarge
	}
	return b, err
}
