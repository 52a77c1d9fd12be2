package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/streamerson/streamerson/rpc"
)

// FunctionHTTP is the function that a RoundTripper's requests name. It is one for all paths: the handler routes by method
// and path, and metrics by function must not grow with them.
const FunctionHTTP = "http"

// Caller is the part of *rpc.Client that RoundTripper needs.
type Caller interface {
	Call(ctx context.Context, req *rpc.Request) (*rpc.Response, error)
}

// RoundTripperOptions has the settings of RoundTripper. The zero value works.
type RoundTripperOptions struct {
	// Stream tells which stream serves a request, "" for none; nil means that the URL's host name is the stream's name. It
	// must not change the request, and may be called concurrently.
	Stream func(*http.Request) string
	// Fallback takes the requests that no stream serves; nil means that they fail.
	Fallback http.RoundTripper
	// MaxRequest is the largest request body in bytes; 0 means DefaultMaxRequest.
	MaxRequest int
}

// DefaultMaxRequest bounds a request's body unless configured: 8 MiB, as for responses.
const DefaultMaxRequest = 8 << 20

// Hosts is a RoundTripperOptions.Stream that looks the URL's host name up, without its port.
func Hosts(streams map[string]string) func(*http.Request) string {
	return func(r *http.Request) string { return streams[strings.ToLower(r.URL.Hostname())] }
}

// RoundTripper lets an ordinary *http.Client call services over the streams:
//
//	client := &http.Client{Transport: worker.RoundTripper(rpcClient, worker.RoundTripperOptions{})}
//	res, err := client.Get("http://users/users/7") // asks the stream "users" for GET /users/7
//
// Make the request with the context of the request being handled: deadline, identity, request id and trace are inherited.
// Fields that begin with rpc.HeaderPrefix are never sent from r.Header.
//
// What a handler answered is a response, whatever its status: that of an HTTP handler, or of another handler's error with
// its code's HTTP status and its text as body. Everything else is an error that wraps the *rpc.Error (errors.As reaches it
// through http.Client's *url.Error): CodeUnavailable when nobody serves the stream or the broker is away,
// CodeDeadlineExceeded, CodeCanceled, a panic. It also matches context.DeadlineExceeded or context.Canceled, and has
// Timeout() for net.Error. The request's body is read whole first, and is closed in any case.
func RoundTripper(client Caller, opts RoundTripperOptions) http.RoundTripper {
	rt := &roundTripper{client: client, stream: opts.Stream, fallback: opts.Fallback, limit: opts.MaxRequest}
	if rt.stream == nil {
		rt.stream = func(r *http.Request) string { return r.URL.Hostname() }
	}
	if rt.limit <= 0 {
		rt.limit = DefaultMaxRequest
	}
	return rt
}

type roundTripper struct {
	client   Caller
	stream   func(*http.Request) string
	fallback http.RoundTripper
	limit    int
}

func (rt *roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL == nil {
		closeBody(r)
		return nil, errors.New("worker: the request has no URL")
	}
	stream := rt.stream(r)
	if stream == "" {
		if rt.fallback != nil {
			return rt.fallback.RoundTrip(r)
		}
		closeBody(r)
		return nil, fmt.Errorf("worker: no stream is configured for host %q", r.URL.Hostname())
	}
	body, err := rt.body(r)
	if err != nil {
		return nil, err
	}
	resp, err := rt.client.Call(r.Context(), message(r, stream, body))
	if err != nil {
		return failed(r, err)
	}
	if resp == nil {
		resp = &rpc.Response{}
	}
	return response(r, resp), nil
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}

func (rt *roundTripper) body(r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	defer closeBody(r)
	length := r.ContentLength
	if length <= 0 {
		length = -1 // with a body, 0 means unknown as well
	}
	b, err := readBody(r.Body, length, rt.limit)
	if errors.Is(err, errTooLarge) {
		return nil, fmt.Errorf("worker: the request's body is larger than the limit of %d bytes", rt.limit)
	}
	return b, err
}

// message makes the rpc request of r.
func message(r *http.Request, stream string, body []byte) *rpc.Request {
	method, host := r.Method, r.Host
	if method == "" {
		method = http.MethodGet
	}
	if host == "" {
		host = r.URL.Host
	}
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	h := make(rpc.Header, 0, len(r.Header)+4)
	h = append(h, rpc.Field{Name: rpc.HeaderMethod, Value: method}, rpc.Field{Name: rpc.HeaderPath, Value: path}, rpc.Field{Name: "Host", Value: host})
	if r.URL.RawQuery != "" {
		h = append(h, rpc.Field{Name: rpc.HeaderQuery, Value: r.URL.RawQuery})
	}
	req := &rpc.Request{
		Stream: stream, Function: FunctionHTTP, Body: body, ContentType: r.Header.Get("Content-Type"), IdempotencyKey: r.Header.Get("Idempotency-Key"),
		Trace: r.Header.Get("Traceparent"), TraceState: r.Header.Get("Tracestate"),
	}
	req.Header = appendFields(h, r.Header, ownRequestKey)
	return req
}

// ownRequestKey names the fields that have a place of their own in a message.
func ownRequestKey(key string) bool {
	switch key {
	case "Content-Type", "Idempotency-Key", "Traceparent", "Tracestate":
		return true
	}
	return false
}

// response makes the HTTP response of resp, as http.Transport would have.
func response(r *http.Request, resp *rpc.Response) *http.Response {
	h := newValues(len(resp.Header) + 2)
	length := int64(len(resp.Body))
	for i := range resp.Header {
		f := &resp.Header[i]
		switch roleOf(f.Name) {
		case rolePlain:
			h.add(http.CanonicalHeaderKey(f.Name), f.Value)
		case roleLength:
			if n, err := strconv.ParseInt(f.Value, 10, 64); err == nil && r.Method == http.MethodHead {
				length = n
			}
		}
	}
	if resp.ContentType != "" {
		h.header["Content-Type"] = []string{resp.ContentType}
	}
	status := resp.Status
	if status == 0 {
		status = http.StatusOK
	}
	if bodyAllowed(status) {
		h.header["Content-Length"] = []string{strconv.FormatInt(length, 10)}
	}
	res := &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h.header, Body: http.NoBody, ContentLength: length, Request: r,
	}
	if len(resp.Body) > 0 && r.Method != http.MethodHead {
		res.Body = io.NopCloser(bytes.NewReader(resp.Body))
	}
	return res
}

// failed makes a response of what a handler said, and an error of the rest.
func failed(r *http.Request, err error) (*http.Response, error) {
	e, ok := errors.AsType[*rpc.Error](err)
	if !ok || e.Origin != rpc.OriginHandler {
		return nil, &callError{err: err}
	}
	resp := &rpc.Response{Status: e.Code.HTTPStatus(), Header: e.Header, ContentType: "text/plain; charset=utf-8", Body: []byte(e.Message)}
	res := response(r, resp)
	if e.RetryAfter > 0 && res.Header["Retry-After"] == nil {
		seconds := (e.RetryAfter + time.Second - 1) / time.Second
		res.Header["Retry-After"] = []string{strconv.FormatInt(int64(seconds), 10)}
	}
	return res, nil
}

// callError is a call's error with what callers of an http.Client look for.
type callError struct{ err error }

func (e *callError) Error() string { return e.err.Error() }

func (e *callError) Unwrap() error { return e.err }

// Is matches the context errors, which an *rpc.Error names by its code only.
func (e *callError) Is(target error) bool {
	switch target {
	case context.DeadlineExceeded:
		return e.Timeout()
	case context.Canceled:
		return rpc.CodeOf(e.err) == rpc.CodeCanceled
	}
	return false
}

// Timeout is net.Error's.
func (e *callError) Timeout() bool { return rpc.CodeOf(e.err) == rpc.CodeDeadlineExceeded }
