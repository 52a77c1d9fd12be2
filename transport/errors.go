package transport

import (
	"context"
	"errors"
	"strings"
)

// Code says what went wrong, in a closed set that is the same for all brokers.
type Code uint8

// The codes.
const (
	// CodeInternal: a broker's answer that the driver doesn't understand, or a bug.
	CodeInternal Code = iota
	// CodeInvalid: the caller's argument can't be right; retrying won't help.
	CodeInvalid
	// CodeNotFound: the stream, group or lane does not exist.
	CodeNotFound
	// CodeFull: the broker or the stream has no room; it may later.
	CodeFull
	// CodeTooLarge: the body is larger than the broker takes.
	CodeTooLarge
	// CodeUnavailable: the broker can't be reached.
	CodeUnavailable
	// CodeUnauthenticated: wrong or missing credentials.
	CodeUnauthenticated
	// CodeDenied: the credentials lack a permission.
	CodeDenied
	// CodeTimeout: no answer in time.
	CodeTimeout
	// CodeCanceled: the caller's context was cancelled.
	CodeCanceled
	// CodeClosed: the driver, consumer or tailer was closed.
	CodeClosed
	// CodeUnsupported: this broker can't, as its Capabilities say.
	CodeUnsupported
	// CodeStale: the delivery's lease went to another consumer.
	CodeStale
	codeCount
)

var codeNames = [codeCount]string{
	"internal", "invalid", "not-found", "full", "too-large", "unavailable", "unauthenticated", "denied", "timeout", "canceled",
	"closed", "unsupported", "stale",
}

func (c Code) String() string {
	if c < codeCount {
		return codeNames[c]
	}
	return "internal"
}

// Error is the one error type of this package and of all drivers. errors.As reaches it, and through Err the client
// library's own error as well. Its text never holds a password.
type Error struct {
	Code Code
	// Op is the method: "publish", "join", "open" …
	Op string
	// Stream is the stream, lane or empty.
	Stream string
	// Msg says what is wrong and what to do; Err is the cause. One of the two is set.
	Msg string
	Err error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Stream != "" {
		b.WriteString(" " + e.Stream)
	}
	b.WriteString(": " + e.Code.String())
	if e.Msg != "" {
		b.WriteString(": " + e.Msg)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the code of the first *Error in err's chain; context errors are CodeCanceled and CodeTimeout, anything
// else CodeInternal.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	switch {
	case errors.Is(err, context.Canceled):
		return CodeCanceled
	case errors.Is(err, context.DeadlineExceeded):
		return CodeTimeout
	}
	return CodeInternal
}

// IsCode reports whether err is not nil and has the given code.
func IsCode(err error, c Code) bool { return err != nil && CodeOf(err) == c }
