package rpc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
)

// The codes, see wire.Code.
const (
	CodeOK                 = wire.CodeOK
	CodeCanceled           = wire.CodeCanceled
	CodeUnknown            = wire.CodeUnknown
	CodeInvalidArgument    = wire.CodeInvalidArgument
	CodeDeadlineExceeded   = wire.CodeDeadlineExceeded
	CodeNotFound           = wire.CodeNotFound
	CodeAlreadyExists      = wire.CodeAlreadyExists
	CodePermissionDenied   = wire.CodePermissionDenied
	CodeResourceExhausted  = wire.CodeResourceExhausted
	CodeFailedPrecondition = wire.CodeFailedPrecondition
	CodeAborted            = wire.CodeAborted
	CodeOutOfRange         = wire.CodeOutOfRange
	CodeUnimplemented      = wire.CodeUnimplemented
	CodeInternal           = wire.CodeInternal
	CodeUnavailable        = wire.CodeUnavailable
	CodeDataLoss           = wire.CodeDataLoss
	CodeUnauthenticated    = wire.CodeUnauthenticated
)

// Origin tells who found an error: what the handler said is told apart from what was inferred without it.
type Origin uint8

// The origins.
const (
	// OriginLocal: this process found it; the request may never have left (see Error.Published).
	OriginLocal Origin = iota
	// OriginRuntime: the worker's runtime answered instead of a handler (no such function, panic, expired in the queue).
	OriginRuntime
	// OriginHandler: the handler said so.
	OriginHandler
)

// Error is the one error type of calls and handlers.
type Error struct {
	Code    Code
	Message string
	Origin  Origin
	// Published says what is known of the request when Origin is OriginLocal: OutcomeRejected means it never ran and can be
	// sent again safely; OutcomeUnknown and OutcomeAccepted mean that it may run.
	Published transport.Outcome
	// RetryAfter is a hint, 0 for none.
	RetryAfter time.Duration
	// Header of an error reply.
	Header Header
	// Err is the cause, if there is one in this process.
	Err error
}

func (e *Error) Error() string {
	s := "rpc: " + e.Code.String()
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an error for a handler to return.
func Errorf(c Code, format string, args ...any) *Error {
	return &Error{Code: c, Message: fmt.Sprintf(format, args...), Origin: OriginHandler}
}

// CodeOf returns the code of err: CodeOK for nil, the code of an *Error in its chain, the context's, else CodeUnknown.
func CodeOf(err error) Code {
	if err == nil {
		return CodeOK
	}
	if e, ok := errors.AsType[*Error](err); ok {
		if e == nil { // errors.Is would unwrap it
			return CodeUnknown
		}
		return e.Code
	}
	switch {
	case errors.Is(err, context.Canceled):
		return CodeCanceled
	case errors.Is(err, context.DeadlineExceeded):
		return CodeDeadlineExceeded
	}
	return CodeUnknown
}

// Causes of a handler's context, beside the context package's own: compare with context.Cause.
var (
	// ErrCallerGone: the caller stopped waiting.
	ErrCallerGone = errors.New("rpc: the caller has gone")
	// ErrLeaseLost: another worker has the request now.
	ErrLeaseLost = errors.New("rpc: the lease was lost")
	// ErrDraining: the server's drain ran out of time.
	ErrDraining = errors.New("rpc: the server is shutting down")
)

// fromTransport turns a driver's error into a call's.
func fromTransport(err error, out transport.Outcome) *Error {
	c, retry := CodeInternal, time.Duration(0)
	switch transport.CodeOf(err) {
	case transport.CodeInvalid, transport.CodeTooLarge:
		c = CodeInvalidArgument
	case transport.CodeNotFound:
		c, retry = CodeUnavailable, time.Second
	case transport.CodeFull, transport.CodeUnavailable, transport.CodeTimeout, transport.CodeClosed:
		c, retry = CodeUnavailable, time.Second
	case transport.CodeUnauthenticated, transport.CodeDenied:
		c = CodeInternal // the broker's credentials are the operator's, not the caller's
	case transport.CodeCanceled:
		c = CodeCanceled
	case transport.CodeUnsupported:
		c = CodeUnimplemented
	}
	return &Error{Code: c, Origin: OriginLocal, Published: out, RetryAfter: retry, Err: err}
}
