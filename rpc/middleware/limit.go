package middleware

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/streamerson/streamerson/rpc"
)

// errTimeout is the cause of a context that Timeout ended, to tell it from the caller's own deadline.
var errTimeout = errors.New("the function's time limit passed")

// Timeout caps the time of a handler, whatever its caller's deadline: its context ends after d, and an error that it returns
// then is answered as CodeDeadlineExceeded. A handler that doesn't look at its context runs on, and its result counts.
// d ≤ 0 panics: it would fail every request.
func Timeout(d time.Duration) rpc.Middleware {
	if d <= 0 {
		panic("middleware: Timeout needs a duration above 0")
	}
	return func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
			ctx, cancel := context.WithTimeoutCause(ctx, d, errTimeout)
			defer cancel()
			resp, err := next(ctx, req)
			if err != nil && errors.Is(context.Cause(ctx), errTimeout) {
				return nil, &rpc.Error{Code: rpc.CodeDeadlineExceeded, Message: "the handler took longer than its limit of " + d.String(), Origin: rpc.OriginRuntime, Err: err}
			}
			return resp, err
		}
	}
}

// retryAfter is the hint for a caller that a limit turned away.
const retryAfter = time.Second

// Limit lets at most n requests of each function (of each stream) run at once; n below 1 panics. One more waits up to wait for
// a place, holding its slot meanwhile, and is then refused with CodeResourceExhausted; with wait 0 it is refused at once. It
// protects what stands behind one function, such as a database. To share slots fairly between streams, use
// rpc.StreamConfig's Min, Weight and Max, which leave what can't run in the stream.
func Limit(n int, wait time.Duration) rpc.Middleware {
	if n < 1 {
		panic("middleware: Limit needs at least 1")
	}
	g := &gates{n: n, open: map[gateKey]*gate{}}
	return func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
			key := gateKey{req.Stream, req.Function}
			gate := g.get(key)
			defer g.put(key, gate)
			if err := gate.enter(ctx, wait); err != nil {
				return nil, err
			}
			defer gate.leave()
			return next(ctx, req)
		}
	}
}

type gateKey struct{ stream, function string }

// gates has a gate for each function that has a request now; a fallback handler may see any number of names over time.
type gates struct {
	n    int
	mu   sync.Mutex
	open map[gateKey]*gate
}

type gate struct {
	places chan struct{}
	users  int // guarded by gates.mu
}

func (g *gates) get(k gateKey) *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.open[k]
	if t == nil {
		t = &gate{places: make(chan struct{}, g.n)}
		g.open[k] = t
	}
	t.users++
	return t
}

func (g *gates) put(k gateKey, t *gate) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.users--; t.users == 0 {
		delete(g.open, k)
	}
}

func (t *gate) enter(ctx context.Context, wait time.Duration) error {
	select {
	case t.places <- struct{}{}:
		return nil
	default:
	}
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case t.places <- struct{}{}:
			return nil
		case <-ctx.Done():
			return &rpc.Error{Code: rpc.CodeOf(ctx.Err()), Message: "ended while it waited for other requests of the function", Origin: rpc.OriginRuntime, Err: context.Cause(ctx)}
		case <-timer.C:
		}
	}
	return &rpc.Error{Code: rpc.CodeResourceExhausted, Message: "too many requests of this function run at once", Origin: rpc.OriginRuntime, RetryAfter: retryAfter}
}

func (t *gate) leave() { <-t.places }
