//go:build unix

package gateway

import (
	"errors"
	"net"
	"syscall"

	"github.com/streamerson/streamerson/internal/quietconn"
)

// canServeDirect reports whether peerGone can look at a connection.
func canServeDirect(c net.Conn) bool {
	_, ok := c.(syscall.Conn)
	return ok
}

// peerGone reports whether nothing more comes on a connection, without taking anything off it. Bytes that wait, of a next
// request, hide an end behind them.
func peerGone(c net.Conn) bool {
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		n, err := quietconn.Peek(fd)
		switch {
		case err == nil:
			gone = n == 0
		case !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR):
			gone = true
		}
	})
	return gone || err != nil
}
