package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamerson/streamerson/rpc/wire"
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
	DefaultNoWorkerWait = 700 * time.Millisecond
	DefaultMaxInFlight  = 65_536
)

// Client makes calls. One for a process is enough, whatever the number of streams; its methods may be called concurrently.
type Client struct {
	d        transport.Driver
	cfg      ClientConfig
	lane     transport.Tailer
	calls    *calls
	packings packings
	fields   *wire.Cache
	silence  time.Duration // Capabilities.Silence
	maxFrame int           // of a request: Capabilities.MaxBody, and room for a dead letter around it
	presence *presence
	budget   *retryBudget
	pub      *publisher
	handler  Handler // Call behind the middleware
	sender   Handler // Send behind the middleware

	closing atomic.Bool
	laneErr atomic.Pointer[transport.Error]
	stop    context.CancelFunc
	loops   sync.WaitGroup
	idle    chan struct{} // gets a token when the last call has ended after closing began
}

// NewClient attaches the client's lane and returns when replies can be read. The driver stays the caller's.
func NewClient(ctx context.Context, d transport.Driver, cfg ClientConfig) (*Client, error) {
	if cfg.Name == "" {
		cfg.Name, _ = os.Hostname() // only for people: "" is as good
	}
	if cfg.Group == "" {
		cfg.Group = DefaultGroup
	}
	if err := transport.CheckName(cfg.Group); err != nil {
		return nil, fmt.Errorf("rpc: ClientConfig.Group: %w", err)
	}
	if cfg.Timeout < 0 || cfg.MaxInFlight < 0 {
		return nil, fmt.Errorf("rpc: ClientConfig.Timeout and MaxInFlight must not be negative")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.NoWorkerWait == 0 {
		cfg.NoWorkerWait = DefaultNoWorkerWait
	}
	if !d.Capabilities().LiveConsumers {
		cfg.NoWorkerWait = -1
	}
	if cfg.MaxInFlight == 0 {
		cfg.MaxInFlight = DefaultMaxInFlight
	}
	if cfg.Observer == nil {
		cfg.Observer = NopObserver{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	lane, err := d.Tail(ctx, transport.TailSpec{Name: laneName(cfg.Name)})
	if err != nil {
		return nil, fmt.Errorf("rpc: opening the reply lane: %w", err)
	}
	run, stop := context.WithCancel(context.Background())
	c := &Client{
		d: d, cfg: cfg, lane: lane, calls: newCalls(), fields: wire.NewCache(), silence: d.Capabilities().Silence, maxFrame: d.Capabilities().MaxBody - deadHeadroom, budget: newRetryBudget(), stop: stop, idle: make(chan struct{}, 1),
		presence: newPresence(run, d, cfg.Group, cfg.NoWorkerWait),
	}
	c.pub = newPublisher(d, c.calls, cfg.Observer)
	c.handler = Chain(c.call, cfg.Middleware...)
	c.sender = Chain(c.send, cfg.Middleware...)
	c.loops.Go(func() { c.readReplies(run) })
	c.loops.Go(func() { c.calls.sweep(run) })
	if cfg.NoWorkerWait >= 0 {
		c.loops.Go(func() { c.presence.run(run) })
	}
	return c, nil
}

// laneName keeps what transport.CheckName takes of a host's name.
func laneName(s string) string {
	b := []byte(s)
	for i, ch := range b {
		if transport.CheckName(string(rune(ch))) != nil {
			b[i] = '_'
		}
	}
	return string(b[:min(len(b), 64)])
}

// Call publishes req and waits for its reply: until ctx ends, req.Timeout or the client's timeout, whichever is first. Any
// error is an *Error. A request that may have been stored is never published twice; one that certainly was not is retried
// up to twice within the deadline and the retry budget. When ctx is cancelled the worker is told. Inside a handler, pass
// the handler's ctx: deadline, trace, identity and request id are inherited. The client does not keep req; the response is
// the caller's. req.Body must stay unchanged until Call returns.
func (c *Client) Call(ctx context.Context, req *Request) (*Response, error) {
	if n := c.calls.count.Add(1); n > int64(c.cfg.MaxInFlight) {
		c.endCall()
		return nil, &Error{Code: CodeResourceExhausted, Message: fmt.Sprintf("more than %d calls in flight", c.cfg.MaxInFlight), Published: transport.OutcomeRejected, RetryAfter: time.Second}
	}
	defer c.endCall()
	if c.closing.Load() {
		return nil, errClientClosed()
	}
	return c.handler(ctx, req)
}

// Send publishes a one-way message and returns when the broker accepted it: then it will be handled at least once or end in
// the dead letter stream. On an error with Published OutcomeUnknown it may still be stored.
func (c *Client) Send(ctx context.Context, req *Request) error {
	c.calls.count.Add(1)
	defer c.endCall()
	if c.closing.Load() {
		return errClientClosed()
	}
	oneWay := *req // middleware sees what kind of call it wraps
	oneWay.OneWay = true
	_, err := c.sender(ctx, &oneWay)
	return err
}

func errClientClosed() *Error {
	return &Error{Code: CodeUnavailable, Message: "the client is closed", Published: transport.OutcomeRejected}
}

func (c *Client) endCall() {
	if c.calls.count.Add(-1) == 0 && c.closing.Load() {
		select {
		case c.idle <- struct{}{}:
		default:
		}
	}
}

// call runs one call with its retries.
func (c *Client) call(ctx context.Context, req *Request) (*Response, error) {
	var env wire.Envelope
	if err := c.envelope(ctx, &env, req, wire.KindRequest); err != nil {
		return nil, err
	}
	// The clock is read twice a call: here it costs as much as a system call's share does.
	start := time.Now()
	deadline := c.deadline(ctx, req, start)
	c.cfg.Observer.CallStart(req.Stream, req.Function)
	c.budget.earn()
	for try, now := 0, start; ; try, now = try+1, time.Now() {
		resp, e := c.once(ctx, req, &env, now, deadline)
		t := Timing{Total: time.Since(start)}
		if e == nil {
			resp.Timing.Total = t.Total
			c.cfg.Observer.CallDone(req.Stream, req.Function, resp.Timing, nil)
			return resp, nil
		}
		wait := retryWait(try)
		if try == maxRetries || !retryable(e) || time.Until(deadline) <= wait || !c.budget.spend() || !sleep(ctx, wait) {
			c.cfg.Observer.CallDone(req.Stream, req.Function, t, e)
			return nil, e
		}
		env.Attempt++
	}
}

// retryable: only what certainly was not stored, because of the broker, is worth publishing again.
func retryable(e *Error) bool {
	return e.Origin == OriginLocal && e.Published == transport.OutcomeRejected && e.Err != nil && transport.IsCode(e.Err, transport.CodeUnavailable)
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *Client) deadline(ctx context.Context, req *Request, now time.Time) time.Time {
	timeout := c.cfg.Timeout
	if req.Timeout > 0 {
		timeout = req.Timeout
	}
	d := now.Add(timeout)
	if cd, ok := ctx.Deadline(); ok && cd.Before(d) {
		d = cd
	}
	return d
}

// once publishes one request and waits.
func (c *Client) once(ctx context.Context, req *Request, env *wire.Envelope, now, deadline time.Time) (*Response, *Error) {
	if err := ctx.Err(); err != nil {
		return nil, endOf(err, transport.OutcomeRejected)
	}
	served, waited, err := c.presence.check(ctx, req.Stream, now, deadline)
	if err != nil {
		return nil, err
	}
	if waited {
		now = time.Now()
	}
	left := deadline.Sub(now)
	if left <= 0 {
		return nil, &Error{Code: CodeDeadlineExceeded, Message: "the deadline passed before the request was published", Published: transport.OutcomeRejected}
	}
	env.Deadline, env.Budget = deadline.UnixMilli(), budgetMillis(left)
	p := c.calls.newCall(env.ID, int64(deadline.Sub(c.calls.base)))
	defer p.release()
	if req.Pack && req.Key == "" {
		p.packing = c.packings.of(req.Stream)
	}
	if !c.calls.add(p) {
		p.release()
		return nil, &Error{Code: CodeAlreadyExists, Message: "a call with this id is in flight", Published: transport.OutcomeRejected}
	}
	// A lone call publishes by itself if it has the time: while the driver waits for a silent broker nothing can end it.
	alone := c.silence > 0 && left > c.silence+time.Second && c.calls.count.Load() == 1
	if !c.pub.publish(p, env, req.Stream, req.Key, alone) {
		p.release()
		c.calls.leave(p, DropLate)
		return nil, errClientClosed()
	}
	if done := ctx.Done(); done != nil {
		select {
		case <-p.ready:
		case <-done:
			return c.abandon(p, ctx.Err(), now)
		}
	} else {
		<-p.ready
	}
	if p.err == nil {
		c.presence.answered(served, now)
	}
	return c.finish(p, now)
}

// abandon ends a call whose caller doesn't wait any longer, unless its reply is here at this very moment.
func (c *Client) abandon(p *call, why error, start time.Time) (*Response, *Error) {
	if !c.calls.leave(p, DropLate) {
		<-p.ready
		return c.finish(p, start)
	}
	p.dropped.Store(true)
	out := p.publishOutcome()
	if why == context.Canceled && out != transport.OutcomeRejected {
		c.pub.cancel(p.id)
	}
	return nil, endOf(why, out)
}

func endOf(why error, out transport.Outcome) *Error {
	code, msg := CodeDeadlineExceeded, "no reply before the deadline"
	if why == context.Canceled {
		code, msg = CodeCanceled, "the caller cancelled"
	}
	return &Error{Code: code, Message: msg, Published: out, Err: why}
}

// send publishes a one-way message and waits for its outcome.
func (c *Client) send(ctx context.Context, req *Request) (*Response, error) {
	var env wire.Envelope
	if err := c.envelope(ctx, &env, req, wire.KindSend); err != nil {
		return nil, err
	}
	p := c.calls.newCall(env.ID, 0)
	defer p.release()
	if !c.pub.publish(p, &env, req.Stream, req.Key, false) {
		p.release()
		return nil, errClientClosed()
	}
	timer := time.NewTimer(time.Until(c.deadline(ctx, req, time.Now())))
	defer timer.Stop()
	select {
	case <-p.ready:
		if p.err != nil {
			return nil, p.err
		}
		return nil, nil
	case <-timer.C:
		return nil, endOf(context.DeadlineExceeded, p.publishOutcome())
	case <-ctx.Done():
		return nil, endOf(ctx.Err(), p.publishOutcome())
	}
}

// Ready reports nil while the lane is attached and the broker is reachable; otherwise why not. It does not block.
func (c *Client) Ready() error {
	if c.closing.Load() {
		return errClientClosed()
	}
	if e := c.laneErr.Load(); e != nil {
		return fmt.Errorf("rpc: the reply lane is not readable: %w", e)
	}
	return nil
}

// Watch begins to sample whether workers serve the stream, so that the first call to it need not ask. It does not block.
func (c *Client) Watch(stream string) {
	if c.cfg.NoWorkerWait >= 0 {
		c.presence.get(stream, time.Now())
	}
}

// Close stops new calls, waits for those in flight until ctx ends, and detaches the lane. Calls that wait even then fail with
// CodeUnavailable.
func (c *Client) Close(ctx context.Context) error {
	if c.closing.Swap(true) {
		return nil
	}
	for c.calls.count.Load() > 0 && ctx.Err() == nil {
		select {
		case <-c.idle:
		case <-ctx.Done():
		}
	}
	c.pub.close()
	c.stop()
	err := c.lane.Close(ctx)
	c.loops.Wait()
	c.calls.endAll()
	return err
}
