package brokers

import (
	"fmt"
	"syscall"
)

func mountMemory(dir string, size int64) error {
	return syscall.Mount("streamerson-test", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size))
}

// unmount doesn't wait for what has a file open.
func unmount(dir string) error { return syscall.Unmount(dir, syscall.MNT_DETACH) }
