//go:build unix && !(linux && (amd64 || arm64))

package quietconn

import "syscall"

// Peek looks whether a byte waits on a socket, without waiting or taking it: n is 1 then, and 0 at the end. The error is a
// syscall.Errno.
func Peek(fd uintptr) (n int, err error) {
	var b [1]byte
	n, _, err = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return n, err
}
