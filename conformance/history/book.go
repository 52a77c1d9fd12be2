package history

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// EnvDir names the directory for the histories of runs that fail, where the caller of Open gives none.
const EnvDir = "STREAMERSON_HISTORY_DIR"

// Book is the history of one run: the recorders of this process, and a directory with a file for each child. Its methods may be called concurrently.
type Book struct {
	dir, kept string

	mu        sync.Mutex
	recorders []*Recorder
}

// Open begins the history of a run in dir; "" means the one that EnvDir names, and without that streamerson-history in the
// system's temporary directory. name and seed make the file's name: characters that a file's name can't have become '_'.
func Open(dir, name string, seed uint64) (*Book, error) {
	if dir == "" {
		dir = os.Getenv(EnvDir)
	}
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "streamerson-history")
	}
	if err := os.MkdirAll(dir, 0o750); err != nil { //nolint:gosec // the directory that the user names
		return nil, fmt.Errorf("history: the directory for histories, %s, can't be made; name another one in %s: %w", dir, EnvDir, err)
	}
	name = fmt.Sprintf("%s-%d", fileName(name), seed)
	work, err := os.MkdirTemp(dir, name+".running-")
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	return &Book{dir: work, kept: filepath.Join(dir, name+".jsonl")}, nil
}

func fileName(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r) {
			return r
		}
		return '_'
	}, s)
}

// File is the path of a process's file, to give to Append in that process.
func (b *Book) File(process string) string { return filepath.Join(b.dir, fileName(process)+".jsonl") }

// Recorder makes the recorder of a part of this process, which keeps its events in memory: they are many, and whoever reads them
// is here. Close closes it.
func (b *Book) Recorder(process string) *Recorder {
	r := New(nil, process)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recorders = append(b.recorders, r)
	return r
}

// Events is what all processes recorded so far, by time; events of one process keep their order.
func (b *Book) Events() ([]Event, error) {
	paths, err := filepath.Glob(filepath.Join(b.dir, "*.jsonl"))
	if err != nil {
		return nil, err
	}
	var all []Event
	b.mu.Lock()
	for _, r := range b.recorders {
		r.mu.Lock()
		all = append(all, r.events...)
		r.mu.Unlock()
	}
	b.mu.Unlock()
	for _, p := range paths {
		f, err := os.Open(p) //nolint:gosec // a file of our own
		if err != nil {
			return nil, err
		}
		events, err := Read(f)
		_ = f.Close() // it was only read
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		all = append(all, events...)
	}
	slices.SortStableFunc(all, func(a, b Event) int { return cmp.Compare(a.Time, b.Time) })
	return all, nil
}

// Close ends the run's recorders, judges the history, and removes it, unless it is bad or failed says that the run was:
// then path is the one file that has all of it.
func (b *Book) Close(rules Rules, failed bool) (v Verdict, path string, err error) {
	b.mu.Lock()
	for _, r := range b.recorders {
		err = errors.Join(err, r.Close())
	}
	b.mu.Unlock()
	events, readErr := b.Events()
	if err = errors.Join(err, readErr); err != nil {
		return v, b.dir, err // the files stay for people
	}
	v = rules.Check(events)
	if failed || len(v.Violations) > 0 {
		path = b.kept
		if err = write(path, events); err != nil {
			return v, b.dir, err
		}
	}
	return v, path, os.RemoveAll(b.dir)
}

func write(path string, events []Event) error {
	f, err := os.Create(path) //nolint:gosec // as above
	if err != nil {
		return err
	}
	lines := json.NewEncoder(f)
	for i := range events {
		if err = lines.Encode(&events[i]); err != nil {
			break
		}
	}
	return errors.Join(err, f.Close())
}
