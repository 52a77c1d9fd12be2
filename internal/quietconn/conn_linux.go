//go:build linux && (amd64 || arm64) && !race

package quietconn

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// sendAtOnce bounds what one call sends, in bytes, and with it the time for which the scheduler can't have the core.
const sendAtOnce = 256 << 10

type conn struct {
	net.Conn
	raw syscall.RawConn
	// What raw is given, made once: each tries, and reports false to wait until more can be done.
	receive, send, sendVec func(fd uintptr) bool

	in, out       []byte // room for what comes; what is not sent yet
	vec           *net.Buffers
	iovecs        []syscall.Iovec
	got           int
	sent          int64 // of vec
	inErr, outErr syscall.Errno
}

func wrap(c net.Conn, raw syscall.RawConn) net.Conn {
	q := &conn{Conn: c, raw: raw}
	q.receive, q.send, q.sendVec = q.tryReceive, q.trySend, q.trySendVec
	return q
}

// SyscallConn implements syscall.Conn.
func (c *conn) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.in, c.got, c.inErr = p, 0, 0
	err := c.raw.Read(c.receive)
	c.in = nil
	switch {
	case err != nil || c.inErr != 0:
		return 0, c.failed("read", err, c.inErr)
	case c.got == 0:
		return 0, io.EOF
	}
	return c.got, nil
}

func (c *conn) tryReceive(fd uintptr) bool {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&c.in[0])), uintptr(len(c.in)), syscall.MSG_DONTWAIT, 0, 0) //nolint:gosec // the kernel is done with it when the call returns
		switch errno {
		case 0:
			c.got = int(n)
			return true
		case syscall.EAGAIN:
			return false
		case syscall.EINTR:
		default:
			c.inErr = errno
			return true
		}
	}
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	c.out, c.outErr = p, 0
	err := c.raw.Write(c.send)
	n := len(p) - len(c.out)
	c.out = nil
	if err != nil || c.outErr != 0 {
		return n, c.failed("write", err, c.outErr)
	}
	return n, nil
}

func (c *conn) trySend(fd uintptr) bool {
	for len(c.out) > 0 {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&c.out[0])), uintptr(min(len(c.out), sendAtOnce)), syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0) //nolint:gosec // the kernel is done with it when the call returns
		switch errno {
		case 0:
			c.out = c.out[n:]
		case syscall.EAGAIN:
			return false
		case syscall.EINTR:
		default:
			c.outErr = errno
			return true
		}
	}
	return true
}

// WriteBuffers writes all of v to c, which may be one of New's or any other, and empties v. It counts as a write.
func WriteBuffers(c net.Conn, v *net.Buffers) (int64, error) {
	q, ok := c.(*conn)
	if !ok {
		return v.WriteTo(c)
	}
	q.vec, q.sent, q.outErr = v, 0, 0
	err := q.raw.Write(q.sendVec)
	q.vec = nil
	if err != nil || q.outErr != 0 {
		return q.sent, q.failed("write", err, q.outErr)
	}
	return q.sent, nil
}

// Vectored reports whether WriteBuffers takes one system call for a c like this, where the system has room.
func Vectored(c net.Conn) bool {
	switch c.(type) {
	case *conn, *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}

// maxPieces is the system's own bound (UIO_MAXIOV).
const maxPieces = 1024

func (c *conn) trySendVec(fd uintptr) bool {
	for len(*c.vec) > 0 {
		c.iovecs = c.iovecs[:0]
		size := 0
		for _, p := range *c.vec {
			if len(p) == 0 {
				continue
			}
			if size > 0 && size+len(p) > sendAtOnce || len(c.iovecs) == maxPieces {
				break
			}
			p = p[:min(len(p), sendAtOnce)]
			size += len(p)
			c.iovecs = append(c.iovecs, syscall.Iovec{Base: &p[0], Len: uint64(len(p))})
		}
		if size == 0 {
			c.consume(0)
			return true
		}
		msg := syscall.Msghdr{Iov: &c.iovecs[0], Iovlen: uint64(len(c.iovecs))}
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&msg)), syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0, 0) //nolint:gosec // the kernel is done with it when the call returns
		clear(c.iovecs)
		switch errno {
		case 0:
			c.sent += int64(n)
			c.consume(int(n))
		case syscall.EAGAIN:
			return false
		case syscall.EINTR:
		default:
			c.outErr = errno
			return true
		}
	}
	return true
}

// consume takes n bytes, and what is empty then, off the front of vec.
func (c *conn) consume(n int) {
	for len(*c.vec) > 0 {
		p := (*c.vec)[0]
		if n < len(p) {
			(*c.vec)[0] = p[n:]
			return
		}
		n -= len(p)
		(*c.vec)[0] = nil
		*c.vec = (*c.vec)[1:]
	}
}

// failed is the error that package net would give.
func (c *conn) failed(op string, err error, errno syscall.Errno) error {
	if errno != 0 {
		err = os.NewSyscallError(op, errno)
	} else if e, ok := errors.AsType[*net.OpError](err); ok {
		err = e.Err
	}
	return &net.OpError{Op: op, Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
