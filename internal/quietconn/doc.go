// Package quietconn reads and writes sockets by system calls that Go's scheduler isn't told of.
//
// Those of package syscall tell it, in case they block. The runtime's monitor thread (sysmon) looks every 20 µs whether one
// does, for a millisecond after each, which is always where requests come all the time; and when the system takes the core
// away in the midst of one, it gives what its thread was doing to another one. A call on a socket that doesn't block lasts
// some microseconds, and gains nothing by that. Waiting is left to the runtime's poller as ever.
package quietconn

import (
	"net"
	"syscall"
)

// New returns c with cheaper reads and writes where it can, else c itself. At most one goroutine may read at a time and one
// write; closing and deadlines are as free as with c. What it returns implements syscall.Conn if c does, and has no other
// methods than that and net.Conn's.
func New(c net.Conn) net.Conn {
	s, ok := c.(syscall.Conn)
	if !ok {
		return c
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return c
	}
	return wrap(c, raw)
}
