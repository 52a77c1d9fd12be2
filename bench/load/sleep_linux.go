package load

import (
	"syscall"
	"time"
)

// preciseSleep blocks the thread. It may return early, on a signal.
func preciseSleep(d time.Duration) {
	t := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&t, nil)
}
