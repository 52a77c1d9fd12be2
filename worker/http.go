package worker

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"golang.org/x/time/rate"
)

// DefaultMaxResponse bounds a response's body unless configured: 8 MiB, well above a web page or a picture and below what
// would hurt a broker.
const DefaultMaxResponse = 8 << 20

// HTTPOptions has the settings of HTTP. The zero value works.
type HTTPOptions struct {
	// MaxResponse is the largest response body in bytes; 0 means DefaultMaxResponse. A handler that writes more gets an
	// error from Write, and the caller a CodeInternal that names the limit.
	MaxResponse int
	// Logger is told of a handler's mistakes, at most one line a second; nil means slog.Default().
	Logger *slog.Logger
}

// HTTP makes an unchanged net/http handler an rpc.Handler, for rpc.Server's Fallback or Handle.
//
// The handler gets method, path and query from the fields that a gateway or RoundTripper set (rpc.HeaderMethod …), or
// POST /<function> when there are none; path parameters by r.PathValue; all other fields in r.Header, without those of a
// single connection; the body whole, with its length; Host as it was sent, else the stream's name; and a context that ends
// at the deadline, when the caller has gone, and so on, see rpc.Handler. Identity and RequestID tell who
// asks, rpc.RequestFrom with its context the rest.
//
// Its response is recorded and sent when it returns, with net/http's rules: 200 unless it says otherwise, the first
// WriteHeader counts, a missing Content-Type is detected. Every status is an answer, also 5xx; only for a one-way message,
// where nobody would read it, a status from 400 up is an error, so that the message is retried and in the end kept as a
// dead letter. A handler that gives up because its context ended, which means that it writes nothing or a 5xx, has not
// answered: over a socket nobody would read it, and when the worker is draining another one gets the request. A panic goes on to the server, which answers CodeInternal; http.ErrAbortHandler does too, without a log line.
func HTTP(h http.Handler, opts HTTPOptions) rpc.Handler {
	limit := opts.MaxResponse
	if limit <= 0 {
		limit = DefaultMaxResponse
	}
	log := &warner{log: opts.Logger, some: rate.Sometimes{First: 1, Interval: time.Second}}
	if log.log == nil {
		log.log = slog.Default()
	}
	return func(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
		// One allocation for all that lives as long as the request.
		x := &struct {
			inbound
			recorder
		}{}
		r, err := x.request(ctx, req)
		if err != nil {
			return nil, err
		}
		x.limit, x.log, x.head = limit, log, r.Method == http.MethodHead
		if err := serve(h, &x.recorder, r); err != nil {
			return nil, err
		}
		if (x.status == 0 || x.status >= 500) && ctx.Err() != nil {
			return nil, gaveUp(ctx, "the handler")
		}
		resp, err := x.finish()
		if err != nil {
			return nil, err
		}
		return answer(req, resp)
	}
}

// serve runs the handler. Its own panics go on: the stack is still whole, because nothing has returned yet.
func serve(h http.Handler, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			err = runtimeError(rpc.CodeInternal, "the handler aborted its response")
		default:
			panic(p)
		}
	}()
	h.ServeHTTP(w, r)
	return nil
}

// answer turns a bad status into an error when no caller will see it.
func answer(req *rpc.Request, resp *rpc.Response) (*rpc.Response, error) {
	if !req.OneWay || resp.Status < 400 {
		return resp, nil
	}
	excerpt := resp.Body[:min(len(resp.Body), 200)] // enough to see what happened
	return nil, rpc.Errorf(rpc.CodeUnknown, "status %d: %s", resp.Status, excerpt)
}

// gaveUp is the answer when ctx ended first.
func gaveUp(ctx context.Context, who string) *rpc.Error {
	e := runtimeError(rpc.CodeOf(ctx.Err()), "%s had not answered yet", who)
	e.Err = context.Cause(ctx)
	return e
}

// runtimeError is an answer that this package gives in the handler's place.
func runtimeError(c rpc.Code, format string, args ...any) *rpc.Error {
	return &rpc.Error{Code: c, Message: fmt.Sprintf(format, args...), Origin: rpc.OriginRuntime}
}

// tooLarge is CodeInternal, which is HTTP's 500: the 429 of CodeResourceExhausted would ask the client to try again.
func tooLarge(limit int) *rpc.Error {
	return runtimeError(rpc.CodeInternal, "the response is larger than the limit of %d bytes", limit)
}
