//go:build unix

package gateway

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
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
		var b [1]byte
		n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		switch {
		case err == nil:
			gone = n == 0
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR):
			gone = true
		}
	})
	return gone || err != nil
}
