package gateway

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	// steerProbe bounds one attempt to find out this listener's place in its group.
	steerProbe = 200 * time.Millisecond
	// steerSettle lets connections that were on their way to this listener arrive.
	steerSettle = 20 * time.Millisecond
)

// reusePort lets others bind the same address. The kernel allows it only to processes of the same user.
func reusePort(_, _ string, c syscall.RawConn) error {
	var set error
	err := c.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
	return errors.Join(err, set)
}

// steer makes the kernel give all new connections of the listeners on one address to the one with this index, in order of
// binding. An index that none has is ignored: the kernel then spreads them by hash, as without a program.
func steer(ln net.Listener, index uint32) error {
	raw, err := bpf.Assemble([]bpf.Instruction{bpf.RetConstant{Val: index}})
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return control(ln, func(fd int) error {
		return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	})
}

// unsteer takes away what a listener that left told the kernel: a new one wants its share. Without a program it fails, which
// is what is wanted.
func unsteer(ln net.Listener) {
	_ = control(ln, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_REUSEPORT_BPF, 0) })
}

func control(ln net.Listener, f func(fd int) error) error {
	sc, ok := ln.(syscall.Conn)
	if !ok {
		return errors.ErrUnsupported
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	var done error
	if err := raw.Control(func(fd uintptr) { done = f(int(fd)) }); err != nil {
		return err
	}
	return done
}

// steerAway makes new connections go to the other listeners on this address while this one is still open, so that none is in
// its queue, or on its way there, when it closes: closing resets those. Which place this listener has in the kernel's list
// can't be asked, so a probe finds out whether it is the first. Where any of this fails, drain is what is left.
func (a *acceptor) steerAway() {
	if !a.cfg.ReusePort || steer(a.ln, 0) != nil {
		return
	}
	if a.first() {
		_ = steer(a.ln, 1)
	}
	time.Sleep(steerSettle)
}

// first connects to this server's own address and sees whether it arrives here.
func (a *acceptor) first() bool {
	a.probing.Store(true)
	defer a.probing.Store(false)
	c, err := net.DialTimeout("tcp", a.ln.Addr().String(), steerProbe) // an unspecified address means this machine
	if err != nil {
		return false
	}
	defer c.Close() //nolint:errcheck // nothing was written
	for end := time.Now().Add(steerProbe); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, ok := a.probed.Load(c.LocalAddr().String()); ok {
			return true
		}
	}
	return false
}

// acceptNow takes a connection that waits in the system's queue; it fails when there is none. The listener's deadline may
// have passed: that is what ends its Accept.
func acceptNow(ln net.Listener) (net.Conn, error) {
	var fd int
	err := control(ln, func(l int) (err error) {
		fd, _, err = unix.Accept4(l, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		return err
	})
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "accepted")
	c, err := net.FileConn(f)
	return c, errors.Join(err, f.Close())
}
