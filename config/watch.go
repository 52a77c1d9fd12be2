package config

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// DefaultDebounce is how long a file must rest after its last change before it is read: longer than an editor takes to
// write, rename and chmod, shorter than a person waits.
const DefaultDebounce = 200 * time.Millisecond

// WatchConfig says what to do on a change.
type WatchConfig struct {
	// Options for Load, the same as at the start.
	Options Options
	// Loaded is the configuration in force, so that a change made since it was read is not missed. May be nil.
	Loaded *Config
	// OnChange gets each new configuration that is right. It is called by one goroutine, and the next change waits for it. An
	// error that it returns (a program that can't take the change) goes to OnError.
	OnChange func(*Config) error
	// OnError is told why a new file is not used; the caller keeps what it has.
	OnError func(error)
	// Debounce, 0 means DefaultDebounce.
	Debounce time.Duration
}

// Watch reads the file at path again when it changes and on each SIGHUP, and blocks until ctx ends. It watches the file's
// folder and not the file: editors replace a file by renaming, and Kubernetes swaps a symbolic link. A change that leaves
// the bytes as they were is no change, but a SIGHUP always reads. Where the folder can't be watched (too many watches),
// OnError is told and SIGHUP works still. Watch takes over SIGHUP from its call on.
func Watch(ctx context.Context, path string, cfg WatchConfig) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	if cfg.Debounce == 0 {
		cfg.Debounce = DefaultDebounce
	}
	w := &watch{path: path, cfg: cfg}

	var changes chan fsnotify.Event
	var failures chan error // "events were lost": then look for oneself
	files, err := w.open()
	if err != nil {
		cfg.OnError(fmt.Errorf("changes of %s are not noticed by themselves (%w); send SIGHUP after a change", path, err))
	} else {
		defer func() { _ = files.Close() }()
		changes, failures = files.Events, files.Errors
	}

	rest := time.NewTimer(0)
	defer rest.Stop()
	if cfg.Loaded != nil {
		w.last = cfg.Loaded.source
	} else {
		w.last, _ = os.ReadFile(path) //nolint:gosec // the operator names the file
	}
	var since time.Time // the first change that was not read yet; zero for none
	settle := func() {
		if since.IsZero() {
			since = time.Now()
		}
		// In a folder where something always changes, the file must be read all the same.
		rest.Reset(min(cfg.Debounce, time.Until(since.Add(5*cfg.Debounce))))
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			w.reload(true)
		case _, open := <-changes:
			if !open {
				changes = nil
			}
			settle()
		case _, open := <-failures:
			if !open {
				failures = nil
			}
			settle()
		case <-rest.C:
			since = time.Time{}
			if files != nil {
				w.follow(files)
			}
			w.reload(false)
		}
	}
}

type watch struct {
	path string
	cfg  WatchConfig
	// last is what was read last, right or wrong, so that one mistake is told once.
	last []byte
}

func (w *watch) open() (*fsnotify.Watcher, error) {
	files, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	if err := files.Add(filepath.Dir(w.path)); err != nil {
		_ = files.Close()
		return nil, err
	}
	w.follow(files)
	return files, nil
}

// follow watches the folder that the file really is in as well, when the path is a link. Adding twice is harmless, and a
// folder that went away leaves by itself.
func (w *watch) follow(files *fsnotify.Watcher) {
	if target, err := filepath.EvalSymlinks(w.path); err == nil && filepath.Dir(target) != filepath.Dir(w.path) {
		_ = files.Add(filepath.Dir(target))
	}
}

func (w *watch) reload(always bool) {
	data, err := os.ReadFile(w.path)
	if err != nil {
		if w.last != nil || always {
			w.cfg.OnError(asError([]Problem{{Position: Position{File: w.path}, Message: "the configuration file can't be read: " + reason(err) + "; what was read before stays in force"}}))
		}
		w.last = nil
		return
	}
	if !always && w.last != nil && bytes.Equal(data, w.last) {
		return
	}
	w.last = data
	c, err := Parse(w.path, data, w.cfg.Options)
	if err == nil {
		err = w.cfg.OnChange(c)
	}
	if err != nil {
		w.cfg.OnError(err)
	}
}
