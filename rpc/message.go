package rpc

import (
	"context"
	"time"

	"github.com/streamerson/streamerson/rpc/wire"
)

// The wire's words, so that a caller needs one import.
type (
	// ID identifies one request for its whole life.
	ID = wire.ID
	// Header is an ordered list of fields.
	Header = wire.Header
	// Field is one header field.
	Field = wire.Field
	// Code is the result of a call.
	Code = wire.Code
)

// Names of header fields with a meaning for this system. A gateway strips all that begin with HeaderPrefix from outside.
const (
	// HeaderPrefix marks the fields that only this system sets.
	HeaderPrefix = "x-streamerson-"
	// HeaderMethod, HeaderPath and HeaderQuery carry an HTTP request line, set by a gateway or RoundTripper: method, escaped
	// path, raw query.
	HeaderMethod = "x-streamerson-method"
	HeaderPath   = "x-streamerson-path"
	HeaderQuery  = "x-streamerson-query"
	// HeaderParam is followed by a path parameter's name: "x-streamerson-param-id".
	HeaderParam = "x-streamerson-param-"
	// HeaderIdentity is the authenticated caller; it is inherited by calls made inside a handler.
	HeaderIdentity = "x-streamerson-identity"
	// HeaderRequestID is the id that people see in logs; inherited as well.
	HeaderRequestID = "x-streamerson-request-id"
)

// Request is one request: what a caller fills in, and what a handler gets.
//
// A caller sets Stream, Function and whatever else it needs; ID is made if zero. A handler must not keep Body or Header
// beyond its return unless it copies them, and must not change them.
type Request struct {
	ID       ID
	Stream   string
	Function string
	Header   Header
	// ContentType of Body, "" if unsaid.
	ContentType string
	Body        []byte
	// Key keeps requests with the same key in order where the transport can.
	Key string
	// IdempotencyKey is for the handler: a request that a client repeats bears the same key.
	IdempotencyKey string
	// Timeout bounds a call besides its context; 0 means only ClientConfig.Timeout and the context.
	Timeout time.Duration

	// Trace and TraceState are the W3C trace context: a handler gets its caller's, a caller may set its own (client
	// middleware does), and a call inside a handler inherits the handler's when it is empty.
	Trace, TraceState string

	// Pack lets the request share a message with others that this client publishes to the stream at the same moment, if their handlers
	// have been quick so far: see PackSpan. It saves the broker most of a message a call. The price: one worker gets them all and runs
	// them one after the other, lag and backlog count them as one, and when that worker dies each of them gets one attempt more. The
	// stream's workers must read such messages: those of this version do. It has no effect on a request with a Key, nor on Send.
	// Client middleware may set it for calls that others make.
	Pack bool

	// What follows is set for a handler and ignored of a caller.

	// OneWay: nobody waits for a reply.
	OneWay bool
	// Attempt counts deliveries of this request, 1 first.
	Attempt int
	// Queued is the time between publishing and the start of the handler: by the broker's clock where it gives one.
	Queued time.Duration
}

// Response is what a handler returns and a caller gets. A nil *Response with a nil error is an empty success.
type Response struct {
	// Status is an HTTP status, for handlers that speak HTTP; 0 means 200 for a success.
	Status      int
	Header      Header
	ContentType string
	// Body may be part of a larger buffer, of a pack of replies or of all that one read of the lane brought, which it keeps: copy what
	// is kept for long.
	Body []byte

	// Timing is set for a caller.
	Timing Timing
}

// Timing splits a call's duration. Its parts are measured by different clocks' differences, never by comparing two clocks.
type Timing struct {
	// Total is from the call's start to the reply's arrival, Publish until the broker accepted the request.
	Total, Publish time.Duration
	// Queue is the wait in the stream, Handler the time in the handler, as the worker measured them.
	Queue, Handler time.Duration
}

// Reply is what is left of Total: the way back, and the waits that no part names. Never negative.
func (t Timing) Reply() time.Duration { return max(0, t.Total-max(t.Publish, 0)-t.Queue-t.Handler) }

// Handler runs one function. ctx ends at the request's deadline, when the caller has gone, when the lease was lost, and when
// a drain runs out of time; context.Cause tells which. An error that is not an *Error is answered as CodeInternal, with its
// text. A panic is answered as CodeInternal and the worker lives on. It is called from many goroutines at once.
type Handler func(ctx context.Context, req *Request) (*Response, error)

// Middleware wraps a handler.
type Middleware func(Handler) Handler

// Chain wraps h so that the first middleware is the outermost.
func Chain(h Handler, mw ...Middleware) Handler {
	for i := len(mw) - 1; i >= 0; i-- {
		h = mw[i](h)
	}
	return h
}
