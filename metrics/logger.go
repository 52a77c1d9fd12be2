package metrics

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// NewLogger makes the program's logger: level is debug, info, warn or error ("" is info), format is text or json ("" is text).
// Secrets are hidden: attributes with names such as password, token, authorization or cookie, the user part of URLs,
// password=… and bearer tokens inside texts. Of one warning or error, told by its message and its attribute "stream", at most
// two lines a second are written; the next line that is, has the count of the others as "suppressed". Lines of a lower level
// are never held back. The logger may be used concurrently; writes to w are one line each. The error names the argument.
func NewLogger(level, format string, w io.Writer) (*slog.Logger, error) {
	var lv slog.Level
	switch strings.ToLower(level) {
	case "", "info":
	case "debug":
		lv = slog.LevelDebug
	case "warn", "warning":
		lv = slog.LevelWarn
	case "error":
		lv = slog.LevelError
	default:
		return nil, fmt.Errorf("log level %q is not known: use debug, info, warn or error", level)
	}
	opts := &slog.HandlerOptions{Level: lv, ReplaceAttr: redactAttr}
	var h slog.Handler
	switch strings.ToLower(format) {
	case "", "text":
		h = slog.NewTextHandler(w, opts)
	case "json":
		h = slog.NewJSONHandler(w, opts)
	default:
		return nil, fmt.Errorf("log format %q is not known: use text or json", format)
	}
	return slog.New(&limitHandler{next: h, limits: &limits{seen: map[limitKey]*limitState{}}}), nil
}

const (
	// linesPerSecond of one warning or error; the array in limitState holds their times.
	linesPerSecond = 2
	// maxLimited bounds how many different lines are remembered; beyond it the idle ones are forgotten, or all.
	maxLimited = 1024
	// streamKey is the attribute that tells two broken subscriptions with the same message apart.
	streamKey = "stream"
)

type limitKey struct{ message, stream string }

type limitState struct {
	last       [linesPerSecond]time.Time // of the last lines written, oldest first
	suppressed int
}

// limits is shared by a handler and all that were made from it by With.
type limits struct {
	mu   sync.Mutex
	seen map[limitKey]*limitState
}

// allow reports whether the line may be written now, and how many like it were not since the last that was.
func (l *limits) allow(k limitKey, now time.Time) (bool, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.seen[k]
	if s == nil {
		if len(l.seen) >= maxLimited {
			l.forget(now)
		}
		s = &limitState{}
		l.seen[k] = s
	}
	if now.Sub(s.last[0]) < time.Second {
		s.suppressed++
		return false, 0
	}
	copy(s.last[:], s.last[1:])
	s.last[linesPerSecond-1] = now
	n := s.suppressed
	s.suppressed = 0
	return true, n
}

func (l *limits) forget(now time.Time) {
	for k, s := range l.seen {
		if now.Sub(s.last[linesPerSecond-1]) > time.Second {
			delete(l.seen, k)
		}
	}
	if len(l.seen) >= maxLimited {
		clear(l.seen)
	}
}

// limitHandler holds back repeated warnings and errors.
type limitHandler struct {
	next   slog.Handler
	limits *limits
	stream string // from WithAttrs
}

func (h *limitHandler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

func (h *limitHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return h.next.Handle(ctx, r)
	}
	k := limitKey{message: r.Message, stream: h.stream}
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == streamKey {
			k.stream = a.Value.String()
			return false
		}
		return true
	})
	now := r.Time
	if now.IsZero() {
		now = time.Now()
	}
	ok, suppressed := h.limits.allow(k, now)
	if !ok {
		return nil
	}
	if suppressed > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("suppressed", suppressed))
	}
	return h.next.Handle(ctx, r)
}

func (h *limitHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.next = h.next.WithAttrs(attrs)
	for _, a := range attrs {
		if a.Key == streamKey {
			c.stream = a.Value.String()
		}
	}
	return &c
}

func (h *limitHandler) WithGroup(name string) slog.Handler {
	c := *h
	c.next = h.next.WithGroup(name)
	return &c
}
