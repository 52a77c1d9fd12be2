package gateway

import (
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// watchedEvery is how often a file that is in use is looked at for a change.
const watchedEvery = time.Second

// watched is something read from files that follows their changes. It looks when it is asked, at most once a second, so
// that it needs no goroutine and nobody has to close it. Files that can't be used leave what was read before in force.
type watched[T any] struct {
	what  string // for the log
	files []string
	load  func() (T, error)
	log   *slog.Logger

	value atomic.Pointer[T]
	next  atomic.Int64 // Unix nanoseconds
	mu    sync.Mutex
	seen  []os.FileInfo
}

// watch reads the files for the first time.
func watch[T any](what string, log *slog.Logger, load func() (T, error), files ...string) (*watched[T], error) {
	w := &watched[T]{what: what, files: files, load: load, log: log}
	if w.log == nil {
		w.log = slog.Default()
	}
	w.seen = w.stat()
	v, err := load()
	if err != nil {
		return nil, err
	}
	w.value.Store(&v)
	w.next.Store(time.Now().Add(watchedEvery).UnixNano())
	return w, nil
}

// get returns what is in force. It reads the files in the caller's goroutine if they changed.
func (w *watched[T]) get() T {
	if now := time.Now().UnixNano(); now >= w.next.Load() && w.mu.TryLock() {
		w.refresh()
		w.next.Store(time.Now().Add(watchedEvery).UnixNano())
		w.mu.Unlock()
	}
	return *w.value.Load()
}

func (w *watched[T]) refresh() {
	infos := w.stat()
	if same(w.seen, infos) {
		return
	}
	w.seen = infos
	v, err := w.load()
	if err != nil {
		w.log.Error(w.what+" changed and can't be used; what was read before stays in force", "error", err)
		return
	}
	w.value.Store(&v)
	w.log.Info(w.what+" read again", "files", w.files)
}

// stat follows links, as they are swapped when a mounted secret changes. A missing file is nil.
func (w *watched[T]) stat() []os.FileInfo {
	infos := make([]os.FileInfo, len(w.files))
	for i, f := range w.files {
		infos[i], _ = os.Stat(f) // load tells what is wrong
	}
	return infos
}

func same(a, b []os.FileInfo) bool {
	for i := range a {
		if (a[i] == nil) != (b[i] == nil) {
			return false
		}
		if a[i] != nil && (!os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime())) {
			return false
		}
	}
	return true
}

// maxSmallFile bounds what is read of a file with keys, in bytes.
const maxSmallFile = 1 << 20

func readSmallFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxSmallFile || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file of at most %d bytes", name, maxSmallFile)
	}
	return os.ReadFile(name) //nolint:gosec // the operator names it
}
