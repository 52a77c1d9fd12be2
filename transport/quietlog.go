package transport

import (
	"log/slog"
	"sync"
	"time"
)

// QuietLog writes at most one warning a second for each thing that is wrong, as Options.Logger asks of drivers. Things should
// be few: each is remembered. It may be used concurrently.
type QuietLog struct {
	log  *slog.Logger
	mu   sync.Mutex
	last map[string]time.Time
}

// NewQuietLog wraps a logger.
func NewQuietLog(log *slog.Logger) *QuietLog {
	return &QuietLog{log: log, last: map[string]time.Time{}}
}

// Warn writes the line, unless one about the same thing was written less than a second ago.
func (q *QuietLog) Warn(thing, msg string, args ...any) {
	q.mu.Lock()
	now := time.Now()
	quiet := now.Sub(q.last[thing]) < time.Second
	if !quiet {
		q.last[thing] = now
	}
	q.mu.Unlock()
	if !quiet {
		q.log.Warn(msg, args...)
	}
}
