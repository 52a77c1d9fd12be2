package config

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// watched runs Watch on a file and hands over what it tells.
type watched struct {
	t       *testing.T
	file    string
	changes chan *Config
	errs    chan error
}

func startWatch(t *testing.T, file string, accept func(*Config) error) *watched {
	t.Helper()
	w := &watched{t: t, file: file, changes: make(chan *Config, 16), errs: make(chan error, 16)}
	opts := Options{Environ: []string{}}
	loaded, err := Load(file, opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		Watch(ctx, file, WatchConfig{
			Options: opts, Loaded: loaded, Debounce: 50 * time.Millisecond,
			OnChange: func(c *Config) error {
				if accept != nil {
					if err := accept(c); err != nil {
						return err
					}
				}
				w.changes <- c
				return nil
			},
			OnError: func(err error) { w.errs <- err },
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

func (w *watched) slots(want int) {
	w.t.Helper()
	select {
	case c := <-w.changes:
		if c.Worker.Slots != want {
			w.t.Fatalf("slots are %d after the change, want %d", c.Worker.Slots, want)
		}
	case err := <-w.errs:
		w.t.Fatalf("the change was refused: %v", err)
	case <-time.After(10 * time.Second):
		w.t.Fatal("no change was seen in 10 s")
	}
}

func (w *watched) refused(part string) {
	w.t.Helper()
	select {
	case c := <-w.changes:
		w.t.Fatalf("a bad file was taken: slots %d", c.Worker.Slots)
	case err := <-w.errs:
		if !strings.Contains(err.Error(), part) {
			w.t.Fatalf("the reason is %q, want one with %q", err, part)
		}
	case <-time.After(10 * time.Second):
		w.t.Fatal("no error was told in 10 s")
	}
}

func (w *watched) quiet() {
	w.t.Helper()
	select {
	case c := <-w.changes:
		w.t.Fatalf("an unneeded change: slots %d", c.Worker.Slots)
	case err := <-w.errs:
		w.t.Fatalf("an unneeded error: %v", err)
	case <-time.After(400 * time.Millisecond):
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func TestWatchFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "streamerson.yaml")
	write(t, file, "worker: {slots: 1}\n")
	w := startWatch(t, file, func(c *Config) error {
		if c.Worker.Slots == 13 {
			return errors.New("13 slots can't be")
		}
		return nil
	})
	w.quiet() // and by now the folder is watched

	write(t, file, "worker: {slots: 2}\n")
	w.slots(2)

	write(t, file, "worker: {slots: 2}\n") // the same bytes
	w.quiet()

	write(t, file, "worker: {slotz: 3}\n")
	w.refused(file + ":1:10: worker.slotz: unknown key; did you mean slots?")

	write(t, file+".new", "worker: {slots: 4}\n") // an editor's way
	rename(t, file+".new", file)
	w.slots(4)

	write(t, file, "worker: {slots: 13}\n")
	w.refused("13 slots can't be")

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	w.refused("there is no such file; what was read before stays in force")
	write(t, file, "worker: {slots: 5}\n")
	w.slots(5)
}

func TestWatchKubernetesSwap(t *testing.T) {
	dir := t.TempDir()
	version := func(name, text string) {
		if err := os.Mkdir(filepath.Join(dir, name), 0o750); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name, "streamerson.yaml"), text)
	}
	link := func(target, name string) {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	version("..v1", "worker: {slots: 1}\n")
	link("..v1", "..data")
	link("..data/streamerson.yaml", "streamerson.yaml")
	w := startWatch(t, filepath.Join(dir, "streamerson.yaml"), nil)
	w.quiet()

	for i, v := range []string{"..v2", "..v3"} {
		version(v, "worker: {slots: "+string(rune('2'+i))+"}\n")
		link(v, "..data_tmp")
		rename(t, filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data"))
		w.slots(2 + i)
	}
}

func TestWatchSIGHUP(t *testing.T) {
	file := filepath.Join(t.TempDir(), "streamerson.yaml")
	write(t, file, "worker: {slots: 1}\n")
	w := startWatch(t, file, nil)
	w.quiet() // and by now SIGHUP is taken over

	hup := func() {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	hup() // reads again though nothing has changed: certificates may have
	w.slots(1)
	write(t, file, "worker: [\n")
	w.refused("this is not YAML")
	hup()
	w.refused("this is not YAML")
}

// TestWatchSinceLoaded: a change between Load and Watch counts.
func TestWatchSinceLoaded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "streamerson.yaml")
	write(t, file, "worker: {slots: 1}\n")
	loaded, err := Load(file, Options{Environ: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, "worker: {slots: 2}\n")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	slots := 0
	Watch(ctx, file, WatchConfig{
		Options: Options{Environ: []string{}}, Loaded: loaded,
		OnChange: func(c *Config) error { slots = c.Worker.Slots; cancel(); return nil },
		OnError:  func(err error) { t.Error(err) },
	})
	if slots != 2 {
		t.Errorf("slots are %d, want 2", slots)
	}
}
