package brokers

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// Disk is a small file system of its own, for a broker's Dir.
type Disk struct {
	Dir string
}

// NewDisk makes a disk of so many bytes, in memory. An error of errors.ErrUnsupported says why there can't be one: only root on
// Linux can mount one, and a broker in a container would not be on it.
func NewDisk(size int64) (*Disk, error) {
	if from, err := From(); err != nil || from == FromContainer || from == FromAddress {
		return nil, errors.Join(err, fmt.Errorf("%w: brokers: %s is %s, and a small disk is of this machine", errors.ErrUnsupported, EnvFrom, from))
	}
	dir, err := os.MkdirTemp("", "streamerson-disk-")
	if err != nil {
		return nil, err
	}
	if err := mountMemory(dir, size); err != nil {
		_ = os.Remove(dir)
		return nil, fmt.Errorf("%w: brokers: no small disk can be mounted (that needs root on Linux): %w", errors.ErrUnsupported, err)
	}
	return &Disk{Dir: dir}, nil
}

func (d *Disk) filler() string { return filepath.Join(d.Dir, "filler") }

// Fill leaves no byte free.
func (d *Disk) Fill() error {
	f, err := os.OpenFile(d.filler(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, zeros{})
	if errors.Is(err, syscall.ENOSPC) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// Free undoes Fill.
func (d *Disk) Free() error { return os.Remove(d.filler()) }

// Remove takes the disk away. What uses it has to have ended.
func (d *Disk) Remove() {
	_ = unmount(d.Dir)
	_ = os.RemoveAll(d.Dir)
}
