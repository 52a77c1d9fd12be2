package transport

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// Options is what a program gives every driver, whatever its kind. The zero value works.
type Options struct {
	// Logger gets at most two lines a second for each thing that is broken; nil means slog.Default().
	Logger *slog.Logger
	// OnEvent, if set, is told what drivers do by themselves. It is called from the driver's goroutines, must not block, and
	// may be called concurrently.
	OnEvent func(Event)
}

// EventKind names what a driver reports through Options.OnEvent.
type EventKind string

// The events.
const (
	EventRedelivered  EventKind = "redelivered"  // N deliveries whose lease had run out were taken over
	EventDeleted      EventKind = "deleted"      // N pending entries had been deleted from the stream: they are lost
	EventTrimmed      EventKind = "trimmed"      // N settled entries were removed from a stream
	EventRecreated    EventKind = "recreated"    // a stream, group or lane that had vanished was made again
	EventDisconnected EventKind = "disconnected" // the broker was lost; Err says why
	EventConnected    EventKind = "connected"    // the broker is back
	EventLaneReaped   EventKind = "lane-reaped"  // N lanes of dead owners were removed
	EventSurplus      EventKind = "surplus"      // N deliveries came beyond the credits and were given back
)

// Event is one such report.
type Event struct {
	Kind   EventKind
	Stream string
	N      int64
	Err    error
}

// Opener connects a driver. It blocks until the broker answered or ctx ended, checks the credentials and the broker's
// version, and returns a *Error that names the URL's part that is wrong. It must not keep u.
type Opener func(ctx context.Context, u *url.URL, opts Options) (Driver, error)

// Registry maps URL schemes to drivers. It is filled explicitly, by the program, in one place; no driver registers itself.
// Its methods may be called concurrently.
type Registry struct {
	mu      sync.RWMutex
	openers map[string]Opener
}

// Register adds a scheme ("redis", "rediss", "kafka+share"). It panics when the scheme is taken: that is a bug in main.
func (r *Registry) Register(scheme string, open Opener) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, dup := r.openers[scheme]; dup {
		panic("transport: scheme registered twice: " + scheme)
	}
	if r.openers == nil {
		r.openers = map[string]Opener{}
	}
	r.openers[scheme] = open
}

// Schemes lists what is registered, sorted.
func (r *Registry) Schemes() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	s := make([]string, 0, len(r.openers))
	for k := range r.openers {
		s = append(s, k)
	}
	slices.Sort(s)
	return s
}

// Open connects to the broker that rawURL names. It blocks as Opener says. Errors are *Error and never show a password.
func (r *Registry) Open(ctx context.Context, rawURL string, opts Options) (Driver, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// url.Parse's error repeats the whole URL, and with it a password.
		return nil, &Error{Code: CodeInvalid, Op: "open", Msg: "the transport URL can't be parsed; it looks like redis://user:password@host:6379/0"}
	}
	r.mu.RLock()
	open := r.openers[u.Scheme]
	r.mu.RUnlock()
	if open == nil {
		return nil, &Error{Code: CodeInvalid, Op: "open", Msg: fmt.Sprintf("transport %q is not known; known are %s", u.Scheme, strings.Join(r.Schemes(), ", "))}
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	return open(ctx, u, opts)
}

// Default is the registry that Open uses; a program's main fills it.
var Default = &Registry{}

// Open connects through Default, with default options.
func Open(ctx context.Context, rawURL string) (Driver, error) {
	return Default.Open(ctx, rawURL, Options{})
}
