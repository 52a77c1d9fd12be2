//go:build unix

package redis

import (
	"syscall"

	"github.com/streamerson/streamerson/internal/quietconn"
)

// peerClosed looks, without waiting, whether the peer has closed the connection or sent what nobody asked for.
func (c *watchedConn) peerClosed() bool {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok { // TLS: the bytes that wait can't be told apart
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	closed := false
	err = raw.Read(func(fd uintptr) bool {
		n, err := quietconn.Peek(fd)
		closed = n > 0 || err == nil || err != syscall.EAGAIN && err != syscall.EINTR
		return true
	})
	return closed || err != nil
}
