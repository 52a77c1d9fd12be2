package redis

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/transport"
)

// serverCode maps an error reply of the server to a code. An error reply means that the command was not done.
func serverCode(msg string) transport.Code {
	word, _, _ := strings.Cut(msg, " ")
	switch word {
	case "OOM", "MISCONF":
		// MISCONF: the disk refuses a snapshot or the append-only file; like a full memory it may end by itself.
		return transport.CodeFull
	case "WRONGPASS", "NOAUTH":
		return transport.CodeUnauthenticated
	case "NOPERM":
		return transport.CodeDenied
	case "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "MOVED", "ASK", "BUSY", "UNKILLABLE":
		return transport.CodeUnavailable
	case "NOGROUP", "UNBLOCKED":
		return transport.CodeNotFound
	case "WRONGTYPE":
		return transport.CodeInvalid
	}
	switch {
	case strings.Contains(msg, "max number of clients"):
		return transport.CodeUnavailable
	case strings.Contains(msg, "invalid username-password"), strings.Contains(msg, "invalid password"):
		return transport.CodeUnauthenticated
	}
	return transport.CodeInternal
}

// isServerError reports whether err is an error reply, as opposed to a broken connection.
func isServerError(err error) bool {
	_, ok := errors.AsType[goredis.Error](err)
	return ok && !errors.Is(err, goredis.Nil)
}

// codeOf classifies any error of the client library.
func codeOf(err error) transport.Code {
	if e, ok := errors.AsType[*transport.Error](err); ok {
		return e.Code
	}
	if isServerError(err) {
		if e, ok := errors.AsType[goredis.Error](err); ok {
			return serverCode(e.Error())
		}
	}
	if errors.Is(err, goredis.ErrClosed) {
		return transport.CodeClosed
	}
	if errors.Is(err, context.Canceled) {
		return transport.CodeCanceled
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return transport.CodeTimeout
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return transport.CodeTimeout
	}
	return transport.CodeUnavailable
}

func fail(op, stream string, err error) *transport.Error {
	return &transport.Error{Code: codeOf(err), Op: op, Stream: stream, Err: err}
}

func failMsg(code transport.Code, op, stream, msg string) *transport.Error {
	return &transport.Error{Code: code, Op: op, Stream: stream, Msg: msg}
}

// nameMsg is what CheckName said, without its own prefix.
func nameMsg(err error) string {
	if e, ok := errors.AsType[*transport.Error](err); ok {
		return e.Msg
	}
	return err.Error()
}

// connFail is a lost connection, whatever its form: the caller can do nothing but wait for the broker.
func connFail(op, stream string, err error) *transport.Error {
	code := codeOf(err)
	if code == transport.CodeTimeout || code == transport.CodeCanceled || code == transport.CodeInternal {
		code = transport.CodeUnavailable
	}
	return &transport.Error{Code: code, Op: op, Stream: stream, Err: err}
}
