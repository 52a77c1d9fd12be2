package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/streamerson/streamerson/transport"
)

// A lane's folder has one folder for each reader: lanes/ADDRESS/READER.CAP.
type tailer struct {
	d            *Driver
	address, dir string
	lock         *os.File // on dir, for as long as this process lives: that is the lane's lease
	done         chan struct{}
	close        func() error
}

// private is what the addresses of private lanes look like: an instance and a serial number. Without this check a forged reply
// address would name any folder.
var private = regexp.MustCompile(`^lane\.[A-Z2-7]{10}\.[0-9]+$`)

// readers are the folders that a lane's messages go to.
func (d *Driver) readers(address string) ([]string, error) {
	name, shared := strings.CutPrefix(address, "~")
	if shared && transport.CheckName(name) != nil || !shared && !private.MatchString(address) {
		return nil, &transport.Error{Code: transport.CodeInvalid, Op: "publish", Stream: address, Msg: "this is no lane's address"}
	}
	return filepath.Glob(d.path("lanes", address, "*"))
}

// Tail makes the reader's folder elsewhere, locks it, and moves it to its place: nobody ever sees it without its lock.
func (d *Driver) Tail(_ context.Context, spec transport.TailSpec) (transport.Tailer, error) {
	if d.closed() {
		return nil, errClosed("tail")
	}
	if spec.MaxLen == 0 {
		spec.MaxLen = transport.DefaultLaneLen
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	t := &tailer{d: d, address: fmt.Sprintf("lane.%s.%d", d.instance, len(d.lanes)), done: make(chan struct{})}
	if spec.Shared {
		if err := transport.CheckName(spec.Name); err != nil {
			return nil, err
		}
		t.address = transport.SharedLane(spec.Name)
	}
	t.dir = d.path("lanes", t.address, fmt.Sprintf("%s-%d.%d", d.instance, len(d.lanes), spec.MaxLen))
	fresh, err := os.MkdirTemp(d.path("new"), "lane-")
	if err == nil {
		t.lock, err = lock(fresh)
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(t.dir), 0o700)
	}
	if err == nil {
		err = os.Rename(fresh, t.dir)
	}
	if err != nil {
		return nil, fail("tail", t.address, err)
	}
	t.close = sync.OnceValue(func() error {
		close(t.done)
		defer func() { _ = t.lock.Close() }()
		return d.removeReader(t.dir)
	})
	d.lanes = append(d.lanes, t)
	return t, nil
}

// lock takes the lock of a folder, or fails at once. It ends with the file, and so with the process.
func lock(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// removeReader moves the folder away before it deletes it: a sender finds all of it or nothing.
func (d *Driver) removeReader(dir string) error {
	gone := d.path("new", "gone-"+d.nextID())
	if err := os.Rename(dir, gone); err != nil {
		return fail("close", filepath.Base(dir), err)
	}
	_ = os.Remove(filepath.Dir(dir)) // unless it has other readers
	return os.RemoveAll(gone)
}

// reap removes the lanes of processes that have ended without closing them.
func (d *Driver) reap() error {
	dirs, err := filepath.Glob(d.path("lanes", "*", "*"))
	for _, dir := range dirs {
		f, e := lock(dir)
		if e != nil {
			continue // its owner lives, or has just closed it
		}
		err = errors.Join(err, d.removeReader(dir), f.Close())
	}
	return err
}

// shorten drops the oldest messages of readers that hold more than their cap.
func shorten(dirs []string) {
	for _, dir := range dirs {
		limit, _ := strconv.Atoi(strings.TrimPrefix(filepath.Ext(dir), "."))
		all := list(dir)
		for _, m := range all[:max(0, len(all)-limit)] {
			_ = os.Remove(filepath.Join(dir, m.file())) // or its reader has
		}
	}
}

func (t *tailer) Address() string { return t.address }

// Receive reads and removes.
func (t *tailer) Receive(ctx context.Context, limit int) (bodies [][]byte, err error) {
	for {
		if t.d.closed() || isClosed(t.done) {
			return nil, errClosed("receive")
		}
		for _, m := range list(t.dir) {
			file := filepath.Join(t.dir, m.file())
			body, err := os.ReadFile(file)
			if err != nil || os.Remove(file) != nil {
				continue // dropped for the cap
			}
			if bodies = append(bodies, body); len(bodies) == limit {
				break
			}
		}
		if len(bodies) > 0 {
			return bodies, nil
		}
		if err := wait(ctx, t.done, t.d.done); err != nil {
			return nil, err
		}
	}
}

func (t *tailer) Close(context.Context) error { return t.close() }
