package nats

import (
	"context"
	"errors"
	"strings"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/streamerson/streamerson/transport"
)

// The server's error codes that the driver tells apart; see the server's errors.json.
const (
	errInsufficient   = 10023 // no resources (memory, disk)
	errStorage        = 10047
	errTooLarge       = 10054
	errStreamNotFound = 10059
	errStoreFailed    = 10077 // with DiscardNew: the stream is full
	errTooMany        = 10167 // more unprocessed messages than the server buffers
)

// apiCode maps an error of JetStream's API to a code. Such an error means that nothing was stored.
func apiCode(e *jetstream.APIError) transport.Code {
	switch e.ErrorCode {
	case errInsufficient, errStorage, errStoreFailed, errTooMany:
		return transport.CodeFull
	case errTooLarge:
		return transport.CodeTooLarge
	case errStreamNotFound:
		return transport.CodeNotFound
	}
	switch e.Code {
	case 400:
		return transport.CodeInvalid
	case 404:
		return transport.CodeNotFound
	case 503:
		return transport.CodeUnavailable
	}
	return transport.CodeInternal
}

// codeOf classifies any error of the client library.
func codeOf(err error) transport.Code {
	if e, ok := errors.AsType[*transport.Error](err); ok {
		return e.Code
	}
	if e, ok := errors.AsType[jetstream.JetStreamError](err); ok && e.APIError() != nil {
		return apiCode(e.APIError())
	}
	switch {
	case errors.Is(err, context.Canceled):
		return transport.CodeCanceled
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, natsgo.ErrTimeout):
		return transport.CodeTimeout
	case errors.Is(err, natsgo.ErrAuthorization), errors.Is(err, natsgo.ErrAuthExpired), errors.Is(err, natsgo.ErrAuthRevoked):
		return transport.CodeUnauthenticated
	case errors.Is(err, natsgo.ErrPermissionViolation):
		return transport.CodeDenied
	case errors.Is(err, natsgo.ErrMaxPayload):
		return transport.CodeTooLarge
	case strings.Contains(strings.ToLower(err.Error()), "authorization violation"):
		return transport.CodeUnauthenticated
	}
	return transport.CodeUnavailable
}

func fail(op, stream string, err error) *transport.Error {
	return &transport.Error{Code: codeOf(err), Op: op, Stream: stream, Err: err}
}

func failMsg(code transport.Code, op, stream, msg string) *transport.Error {
	return &transport.Error{Code: code, Op: op, Stream: stream, Msg: msg}
}

func errClosed(op string) *transport.Error {
	return failMsg(transport.CodeClosed, op, "", "it was closed")
}

func errDown(op, stream string, err error) *transport.Error {
	return &transport.Error{Code: transport.CodeUnavailable, Op: op, Stream: stream, Msg: "the connection to NATS is down", Err: err}
}
