package rpc

import (
	"context"
	"log/slog"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// ClientConfig has the settings of a client. The zero value works.
type ClientConfig struct {
	// Name is part of the lane's address, for people; "" means the host's name.
	Name string
	// Group is the workers' group, looked at to see whether anyone serves a stream; "" means DefaultGroup.
	Group string
	// Timeout bounds a call that has no earlier deadline; 0 means DefaultTimeout.
	Timeout time.Duration
	// NoWorkerWait is how long a call waits for a worker to appear on a stream that none serves, before CodeUnavailable,
	// when the transport can tell; 0 means DefaultNoWorkerWait, negative means not to look.
	NoWorkerWait time.Duration
	// MaxInFlight bounds the calls that wait at once; beyond it a call fails with CodeResourceExhausted. 0 means DefaultMaxInFlight.
	MaxInFlight int
	// Middleware wraps every Call and Send, the first outermost: a call has the same shape as a handler. (Send's response is nil.)
	Middleware []Middleware
	// Observer may be nil.
	Observer Observer
	// Logger may be nil.
	Logger *slog.Logger
}

// Defaults of ClientConfig.
const (
	DefaultGroup        = "workers"
	DefaultTimeout      = 10 * time.Second
	DefaultNoWorkerWait = 500 * time.Millisecond
	DefaultMaxInFlight  = 65_536
)

// Client makes calls. One for a process is enough, whatever the number of streams; its methods may be called concurrently.
type Client struct{}

// NewClient attaches the client's lane and returns when replies can be read. The driver stays the caller's.
func NewClient(ctx context.Context, d transport.Driver, cfg ClientConfig) (*Client, error) {
	panic("under construction")
}

// Call publishes req and waits for its reply: until ctx ends, req.Timeout or the client's timeout, whichever is first. Any
// error is an *Error. A request that may have been stored is never published twice; one that certainly was not is retried
// up to twice within the deadline and the retry budget. When ctx is cancelled the worker is told. Inside a handler, pass
// the handler's ctx: deadline, trace, identity and request id are inherited. The client does not keep req; the response is
// the caller's. req.Body must stay unchanged until Call returns.
func (c *Client) Call(ctx context.Context, req *Request) (*Response, error) {
	panic("under construction")
}

// Send publishes a one-way message and returns when the broker accepted it: then it will be handled at least once or end in
// the dead letter stream. On an error with Published OutcomeUnknown it may still be stored.
func (c *Client) Send(ctx context.Context, req *Request) error {
	panic("under construction")
}

// Ready reports nil while the lane is attached and the broker is reachable; otherwise why not. It does not block.
func (c *Client) Ready() error { panic("under construction") }

// Watch begins to sample whether workers serve the stream, so that the first call to it need not ask. It does not block.
func (c *Client) Watch(stream string) { panic("under construction") }

// Close stops new calls, waits for those in flight until ctx ends, and detaches the lane.
func (c *Client) Close(ctx context.Context) error { panic("under construction") }
