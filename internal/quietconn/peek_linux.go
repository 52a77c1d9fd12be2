//go:build linux && (amd64 || arm64)

package quietconn

import (
	"syscall"
	"unsafe"
)

// Peek looks whether a byte waits on a socket, without waiting or taking it: n is 1 then, and 0 at the end. The error is a
// syscall.Errno.
func Peek(fd uintptr) (n int, err error) {
	var b [1]byte
	got, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&b[0])), 1, syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0) //nolint:gosec // the kernel is done with it when the call returns
	if errno != 0 {
		return 0, errno
	}
	return int(got), nil
}
