package conformance

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/streamerson/streamerson/conformance/history"
	"github.com/streamerson/streamerson/transport"
)

// envChild carries a child's configuration to ServeChild.
const envChild = "STREAMERSON_CONFORMANCE_CHILD"

// childEnd bounds a child's last words to the broker, after SIGTERM.
const childEnd = 5 * time.Second

// crashStatus is the exit status of a worker whose handler ended its process.
const crashStatus = 7

// serves is whether ServeChild was called: a program that doesn't would run its tests again in every child.
var serves bool

// ServeChild makes this process a worker or a client and never returns, if it was started for that by the suite; otherwise it
// does nothing. A program that gives Harness.URL calls it first of all, in main or TestMain; open connects to that URL, as
// transport.Open does.
func ServeChild(open func(ctx context.Context, rawURL string) (transport.Driver, error)) {
	serves = true
	raw := os.Getenv(envChild)
	if raw == "" {
		return
	}
	if err := serveChild(raw, open); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// childConfig is what a worker or client is told; a child gets it as JSON in its environment.
type childConfig struct {
	Role    string
	URL     string
	Name    string
	History string // the file for its history
	Streams []string
	Worker  workerConfig
	Caller  callerConfig
}

// The roles.
const (
	roleWorker = "worker"
	roleCaller = "caller"
)

// report is how a worker or client tells the suite what it did. It may be called concurrently.
type report func(kind, name string)

// The kinds of reports.
const (
	sayReady  = "ready"  // it serves, or can call
	sayBegin  = "begin"  // the request with that name began to run
	sayEnd    = "end"    // it came to its end
	sayCount  = "count"  // something was observed; name says what
	sayAnswer = "answer" // a caller's call ended: "NAME CODE"
	saySent   = "sent"   // a caller is about to call with that name
)

// line is a report on a child's standard output.
type line struct{ Kind, Name string }

func serveChild(raw string, open func(context.Context, string) (transport.Driver, error)) error {
	// A child ends with its parent, whatever happened to that: its standard input is closed then.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	var cfg childConfig
	if err := json.Unmarshal([]byte(raw), &cfg); err != nil {
		return fmt.Errorf("%s: %w", envChild, err)
	}
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout) // unbuffered: what was said before a kill -9 arrives
	say := func(kind, name string) {
		mu.Lock()
		defer mu.Unlock()
		_ = out.Encode(line{kind, name})
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	d, err := open(ctx, cfg.URL)
	if err != nil {
		return err
	}
	r, err := history.Append(cfg.History, cfg.Name)
	if err != nil {
		return err
	}
	if d = r.Driver(d); cfg.Role == roleCaller {
		err = runCaller(ctx, d, r, cfg, say)
	} else {
		err = runWorker(ctx, d, r, cfg, say)
	}
	if err != nil {
		return err
	}
	end, cancel := context.WithTimeout(context.Background(), childEnd)
	defer cancel()
	return errors.Join(d.Close(end), r.Close())
}

// hear reads a child's reports until it has closed its output.
func hear(out io.Reader, say report) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var l line
		if json.Unmarshal(lines.Bytes(), &l) == nil {
			say(l.Kind, l.Name)
		}
	}
}
