//go:build unix

package quietconn

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// pair is a quiet connection and its plain peer.
func pair(t *testing.T, network, addr string) (net.Conn, net.Conn) {
	t.Helper()
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	near, err := net.Dial(network, ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	return New(near), far
}

func tcp(t *testing.T) (net.Conn, net.Conn) { return pair(t, "tcp", "127.0.0.1:0") }

// TestBothWays sends more than the system's buffers take, so that both sides must wait, over both kinds of sockets.
func TestBothWays(t *testing.T) {
	sent := make([]byte, 16<<20)
	for i := range sent {
		sent[i] = byte(i >> 8)
	}
	for network, addr := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "socket")} {
		t.Run(network, func(t *testing.T) {
			near, far := pair(t, network, addr)
			go func() {
				_, _ = io.Copy(far, far)
				_ = far.Close()
			}()
			wrote := make(chan error, 1)
			go func() {
				n, err := near.Write(sent)
				if err == nil && n != len(sent) {
					err = io.ErrShortWrite
				}
				wrote <- err
			}()
			back := make([]byte, len(sent))
			if _, err := io.ReadFull(near, back); err != nil {
				t.Fatal(err)
			}
			if err := <-wrote; err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(sent, back) {
				t.Error("what came back is not what was sent")
			}
		})
	}
}

// TestPieces sends some hundred pieces, among them empty ones and one that is longer than all that is sent at once.
func TestPieces(t *testing.T) {
	near, far := tcp(t)
	var pieces net.Buffers
	var want []byte
	for i := range 3_000 {
		p := bytes.Repeat([]byte{byte(i)}, i%7*i)
		if i == 1_500 {
			p = bytes.Repeat([]byte("long"), 1<<18)
		}
		pieces, want = append(pieces, p), append(want, p...)
	}
	wrote := make(chan error, 1)
	go func() {
		n, err := WriteBuffers(near, &pieces)
		if err == nil && (n != int64(len(want)) || len(pieces) > 0) {
			err = io.ErrShortWrite
		}
		_ = near.Close()
		wrote <- err
	}()
	got, err := io.ReadAll(far)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes came, %v; want the %d that were sent", len(got), err, len(want))
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	nothing := net.Buffers{nil, {}}
	if n, err := WriteBuffers(near, &nothing); n != 0 || err == nil {
		t.Errorf("%d, %v on a closed connection", n, err)
	}
	one, other := net.Pipe()
	defer func() { _ = one.Close(); _ = other.Close() }()
	if !Vectored(near) || Vectored(one) {
		t.Error("a socket takes pieces at once, a pipe doesn't")
	}
}

func TestEnd(t *testing.T) {
	near, far := tcp(t)
	if n, err := near.Read(nil); n != 0 || err != nil {
		t.Errorf("reading nothing: %d, %v", n, err)
	}
	if _, err := far.Write([]byte("last")); err != nil {
		t.Fatal(err)
	}
	_ = far.Close()
	if b, err := io.ReadAll(near); string(b) != "last" || err != nil {
		t.Errorf("%q, %v; want what was sent, and the end", b, err)
	}
}

// wantLike holds an error to what package net gives for the same.
func wantLike(t *testing.T, err error, op string, is error) {
	t.Helper()
	e, ok := errors.AsType[*net.OpError](err)
	if !ok || e.Op != op || e.Net != "tcp" || e.Addr == nil || !errors.Is(err, is) {
		t.Errorf("%v (%T); want a net.OpError of %s that is %v", err, err, op, is)
	}
	if e != nil && e.Timeout() != errors.Is(is, os.ErrDeadlineExceeded) {
		t.Errorf("%v: Timeout says %t", err, e.Timeout())
	}
}

func TestDeadlines(t *testing.T) {
	near, _ := tcp(t)
	_ = near.SetDeadline(time.Now().Add(20 * time.Millisecond))
	_, err := near.Read(make([]byte, 1))
	wantLike(t, err, "read", os.ErrDeadlineExceeded)
	n, err := near.Write(make([]byte, 64<<20))
	wantLike(t, err, "write", os.ErrDeadlineExceeded)
	if n < 0 || n >= 64<<20 {
		t.Errorf("%d bytes are said to be written before a deadline that passed", n)
	}
}

func TestClosedWhileItWaits(t *testing.T) {
	near, _ := tcp(t)
	read := make(chan error, 1)
	go func() {
		_, err := near.Read(make([]byte, 1))
		read <- err
	}()
	time.Sleep(10 * time.Millisecond) // so that it mostly waits already; either way it must end
	_ = near.Close()
	wantLike(t, <-read, "read", net.ErrClosed)
	_, err := near.Write([]byte("x"))
	wantLike(t, err, "write", net.ErrClosed)
}

func TestReset(t *testing.T) {
	near, far := tcp(t)
	_ = far.(*net.TCPConn).SetLinger(0) // so that closing resets
	_ = far.Close()
	_, err := near.Read(make([]byte, 1))
	wantLike(t, err, "read", syscall.ECONNRESET)
	_, err = near.Write([]byte("x")) // and no signal ends the process
	wantLike(t, err, "write", syscall.EPIPE)
}

func TestPeek(t *testing.T) {
	near, far := tcp(t)
	raw, err := near.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	peek := func() (n int, err error) {
		_ = raw.Control(func(fd uintptr) { n, err = Peek(fd) })
		return n, err
	}
	if n, err := peek(); err != syscall.EAGAIN {
		t.Errorf("%d, %v on a connection where nothing waits", n, err)
	}
	if _, err := far.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	_ = far.Close()
	b := make([]byte, 1)
	_ = raw.Read(func(fd uintptr) bool { n, _ := Peek(fd); return n == 1 })
	if _, err := near.Read(b); err != nil || b[0] != 'x' {
		t.Errorf("%q, %v: a peek took what it looked at", b, err)
	}
	_ = raw.Read(func(fd uintptr) bool { n, err := Peek(fd); return n == 0 && err == nil })
	if n, err := peek(); n != 0 || err != nil {
		t.Errorf("%d, %v at the end", n, err)
	}
}

// TestAllocations: a call reads and writes a connection several times.
func TestAllocations(t *testing.T) {
	near, far := tcp(t)
	b := make([]byte, 64)
	if n := testing.AllocsPerRun(100, func() {
		_, _ = near.Write(b[:1])
		_, _ = far.Read(b)
		_, _ = far.Write(b[:1])
		_, _ = near.Read(b)
	}); n != 0 {
		t.Errorf("%.0f allocations for a read and a write", n)
	}
}

func TestWhatIsNoSocketStaysAsItIs(t *testing.T) {
	a, b := net.Pipe()
	defer func() { _ = a.Close(); _ = b.Close() }()
	if New(a) != a {
		t.Error("a pipe was wrapped")
	}
}
