//go:build !linux || !(amd64 || arm64) || race

package quietconn

import (
	"net"
	"syscall"
)

// wrap leaves the connection as it is. The race detector has to see what a read and a write order.
func wrap(c net.Conn, _ syscall.RawConn) net.Conn { return c }

// WriteBuffers writes all of v to c, which may be one of New's or any other, and empties v. It counts as a write.
func WriteBuffers(c net.Conn, v *net.Buffers) (int64, error) { return v.WriteTo(c) }

// Vectored reports whether WriteBuffers takes one system call for a c like this, where the system has room.
func Vectored(c net.Conn) bool {
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}
