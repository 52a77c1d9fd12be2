package main

import (
	"context"
	"errors"
	"syscall"

	"github.com/streamerson/streamerson/config"
	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

// The exit codes; exitHelp tells them to people.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 2
	exitConfig  = 3
	exitBroker  = 4
	exitAddress = 5
	// exitCall + the call's code (gRPC's number) is what `call` exits with when the call failed.
	exitCall   = 20
	exitSignal = 130
)

const exitHelp = `Exit codes: 0 done, 1 failed, 2 wrong command or flag, 3 wrong configuration, 4 the broker can't be reached or refuses,
5 an address can't be listened on, 130 stopped by a second signal; and of call, 20 + the code of a failed call: 24
deadline_exceeded, 25 not_found, 33 internal, 34 unavailable …`

// exitError is an error with an exit code of its own.
type exitError struct {
	err   error
	code  int
	quiet bool // told already
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usageError(err error) error { return &exitError{err: err, code: exitUsage} }

// exitCode finds out what kind of failure err is.
func exitCode(err error) int {
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	if _, ok := errors.AsType[*config.Error](err); ok {
		return exitConfig
	}
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EACCES) {
		return exitAddress
	}
	if e, ok := errors.AsType[*rpc.Error](err); ok {
		return exitCall + int(e.Code)
	}
	if e, ok := errors.AsType[*transport.Error](err); ok {
		switch e.Code {
		case transport.CodeInvalid:
			return exitConfig
		case transport.CodeUnavailable, transport.CodeUnauthenticated, transport.CodeDenied, transport.CodeTimeout:
			return exitBroker
		}
	}
	if errors.Is(err, context.Canceled) {
		return exitSignal
	}
	return exitFailed
}
