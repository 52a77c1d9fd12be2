package rpc

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// handling is one delivery from its arrival until it is settled, and the context of its handler. It is its own context so
// that a handler which never waits on it costs one allocation; the standard library's context is made when it is asked for.
type handling struct {
	req      Request
	delivery transport.Delivery
	stream   *streamState
	replyTo  string
	packs    bool      // its caller reads packed replies
	deadline time.Time // zero: none
	received time.Time
	started  time.Time
	took     time.Duration // in the handler
	known    bool          // dedup has its id
	ran      bool          // it had its effect, or must not have it any more

	// The leases' list links and time of last renewal; owned by leases.
	prev, next *handling
	renewed    time.Time

	// The settlement that is under way; touched by one goroutine at a time, handed over with the handling.
	reply    *frame // nil: none
	verb     transport.Verb
	delay    time.Duration
	tries    int
	dead     DeadCause // reply is a dead letter
	slotless bool      // its slot was given back before it was settled
	replaced bool      // reply was replaced by an error
	packed   bool      // reply goes, or went last, in a pack
	alone    bool      // a pack with reply in it has failed: send it by itself

	mu     sync.Mutex
	inner  context.Context
	cancel context.CancelCauseFunc
	free   context.CancelFunc
	cause  error               // why it ended; nil while it runs
	newer  *transport.Delivery // a redelivery of the same entry
	lost   *transport.Delivery // the one that was another's when cause became ErrLeaseLost
}

type handlingKey struct{}

// requestOf returns the request whose handler runs under ctx, or nil.
func requestOf(ctx context.Context) *handling {
	h, _ := ctx.Value(handlingKey{}).(*handling)
	return h
}

// RequestFrom returns the request whose handler runs under ctx, nil outside a handler. It is for reading.
func RequestFrom(ctx context.Context) *Request {
	if h := requestOf(ctx); h != nil {
		return &h.req
	}
	return nil
}

// Deadline is the caller's.
func (h *handling) Deadline() (time.Time, bool) { return h.deadline, !h.deadline.IsZero() }

// Done makes the standard library's context at the first call.
func (h *handling) Done() <-chan struct{} { return h.context().Done() }

// Err is as for every context.
func (h *handling) Err() error {
	h.mu.Lock()
	inner, cause := h.inner, h.cause
	h.mu.Unlock()
	switch {
	case inner != nil:
		return inner.Err()
	case errors.Is(cause, context.DeadlineExceeded):
		return context.DeadlineExceeded
	case cause != nil:
		return context.Canceled
	case !h.deadline.IsZero() && !time.Now().Before(h.deadline):
		return context.DeadlineExceeded
	}
	return nil
}

// Value knows the request. The context package finds a parent's cancellation by a key of type *int, which only the
// standard library's context can answer; nothing else is stored below.
func (h *handling) Value(key any) any {
	switch key.(type) {
	case handlingKey:
		return h
	case *int:
		return h.context().Value(key)
	}
	return nil
}

func (h *handling) context() context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.inner == nil {
		base, cancel := context.WithCancelCause(context.Background())
		h.inner, h.cancel, h.free = base, cancel, func() {}
		if !h.deadline.IsZero() {
			h.inner, h.free = context.WithDeadline(base, h.deadline)
		}
		if h.cause != nil {
			h.cancel(h.cause)
		}
	}
	return h.inner
}

// end cancels the handler's context with a cause; only the first counts.
func (h *handling) end(cause error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.endLocked(cause)
}

func (h *handling) endLocked(cause error) {
	if h.cause != nil {
		return
	}
	h.cause = cause
	if h.cancel != nil {
		h.cancel(cause)
		h.free()
	}
}

// ended returns the cause, nil while it runs.
func (h *handling) ended() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cause
}
