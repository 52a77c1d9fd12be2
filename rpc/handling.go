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
//
// Its size is that of an allocator's class (512 bytes): it is most of what a request costs the worker in garbage.
type handling struct {
	req      Request
	delivery transport.Delivery
	stream   *streamState
	carrier  *carrier // nil unless it came in a pack, or is one
	replyTo  string
	deadline time.Time // zero: none
	received time.Time
	waited   time.Duration // from received to the start of run
	took     time.Duration // in the handler

	packs bool // its caller reads packed replies
	known bool // dedup has its id
	ran   bool // it had its effect, or must not have it any more

	// The settlement that is under way; touched by one goroutine at a time, handed over with the handling.
	verb     transport.Verb
	slotless bool // its slot was given back before it was settled
	replaced bool // reply was replaced by an error
	packed   bool // reply goes, or went last, in a pack
	alone    bool // a pack with reply in it has failed: send it by itself
	joined   bool // reply is in its carrier's pack
	counted  bool // its carrier waits for what it publishes by itself
	again    bool // reply is the request, to be published by itself
	suspect  bool // its worker may have died of it
	tries    int32
	reply    *frame // nil: none
	delay    time.Duration
	dead     DeadCause // reply is a dead letter

	// The leases' list links and time of last renewal; owned by leases.
	prev, next *handling
	renewed    time.Duration

	mu    sync.Mutex
	std   *stdContext
	cause error               // why it ended; nil while it runs
	newer *transport.Delivery // a redelivery of the same entry
	lost  *transport.Delivery // the one that was another's when cause became ErrLeaseLost
}

// stdContext is the standard library's context of a handling.
type stdContext struct {
	context.Context
	cancel context.CancelCauseFunc
	free   context.CancelFunc
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
	std, cause := h.std, h.cause
	h.mu.Unlock()
	switch {
	case std != nil:
		return std.Err()
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
	if h.std == nil {
		base, cancel := context.WithCancelCause(context.Background())
		h.std = &stdContext{base, cancel, func() {}}
		if !h.deadline.IsZero() {
			h.std.Context, h.std.free = context.WithDeadline(base, h.deadline)
		}
		if h.cause != nil {
			cancel(h.cause)
		}
	}
	return h.std.Context
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
	if h.std != nil {
		h.std.cancel(cause)
		h.std.free()
	}
	if h.carries() {
		for i := range h.carrier.members {
			h.carrier.members[i].end(cause)
		}
	}
}

// ended returns the cause, nil while it runs.
func (h *handling) ended() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cause
}
