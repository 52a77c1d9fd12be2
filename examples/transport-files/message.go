package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// message is what a file's name tells of it.
type message struct {
	id      string // 20 digits of nanoseconds since 1970, then the publisher's instance: sorted by time
	attempt int
	until   int64 // the lease's end, in milliseconds since 1970; 0 when there is none
}

func (m message) file() string { return fmt.Sprintf("%s.%d.%d", m.id, m.attempt, m.until) }

func (m message) age() time.Duration {
	nanos, _ := strconv.ParseInt(m.id[:20], 10, 64) // list has looked at it
	return max(0, time.Since(time.Unix(0, nanos)))
}

// leased reports whether the message has a lease that runs.
func (m message) leased() bool { return m.until > time.Now().UnixMilli() }

// list returns the messages of a folder, oldest first. A folder that isn't there has none.
func list(dir string) (all []message) {
	entries, _ := os.ReadDir(dir) // sorted by name
	for _, e := range entries {
		parts := strings.Split(e.Name(), ".")
		if len(parts) != 3 || len(parts[0]) < 20 {
			continue
		}
		m := message{id: parts[0]}
		m.attempt, _ = strconv.Atoi(parts[1])
		m.until, _ = strconv.ParseInt(parts[2], 10, 64)
		all = append(all, m)
	}
	return all
}

// nextID returns an id that is higher than this driver's ids before, so that the messages of one Publish keep their order.
func (d *Driver) nextID() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lastID = max(time.Now().UnixNano(), d.lastID+1)
	return fmt.Sprintf("%020d%s", d.lastID, d.instance)
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

func (d *Driver) closed() bool { return isClosed(d.done) }

func isClosed(done chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

func errClosed(op string) error {
	return &transport.Error{Code: transport.CodeClosed, Op: op, Msg: "it was closed"}
}

// fail gives the operating system's error its code.
func fail(op, stream string, err error) error {
	if _, ok := errors.AsType[*transport.Error](err); ok {
		return err
	}
	code := transport.CodeInternal
	switch {
	case errors.Is(err, fs.ErrNotExist):
		code = transport.CodeNotFound
	case errors.Is(err, fs.ErrPermission):
		code = transport.CodeDenied
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		code = transport.CodeFull
	}
	return &transport.Error{Code: code, Op: op, Stream: stream, Err: err}
}
