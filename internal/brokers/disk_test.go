package brokers

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestDisk: a filled disk takes no byte, a freed one does, and nothing stays of a removed one. Without root it can't be made, and
// says so.
func TestDisk(t *testing.T) {
	t.Setenv(EnvFrom, "local")
	d, err := NewDisk(4 << 20)
	if os.Geteuid() != 0 {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Fatal(err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer d.Remove()
	write := func() error { return os.WriteFile(filepath.Join(d.Dir, "x"), make([]byte, 4096), 0o600) }
	if err := d.Fill(); err != nil {
		t.Fatal(err)
	}
	if err := write(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("writing on a full disk: %v", err)
	}
	if err := errors.Join(d.Free(), write()); err != nil {
		t.Error(err)
	}
	d.Remove()
	if _, err := os.Stat(d.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the disk is still there: %v", err)
	}
	t.Setenv(EnvFrom, "container")
	if _, err := NewDisk(4 << 20); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("for a container: %v", err)
	}
}
