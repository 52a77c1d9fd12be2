//go:build !linux

package gateway

import (
	"errors"
	"net"
	"syscall"
)

func reusePort(_, _ string, _ syscall.RawConn) error {
	return errors.New("ServerConfig.ReusePort works on Linux only")
}

func unsteer(net.Listener) {}

func (a *acceptor) steerAway() {}

// acceptNow fails as if no connection waited: what does is reset when the listener closes.
func acceptNow(net.Listener) (net.Conn, error) { return nil, errors.ErrUnsupported }
