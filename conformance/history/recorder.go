package history

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// Recorder writes the events of one process. Its methods may be called concurrently.
type Recorder struct {
	process string
	start   time.Time

	mu  sync.Mutex
	w   io.Writer // nil: events are kept in memory
	err error

	events []Event
	closed bool
}

// New makes a recorder that writes each event to w, with one Write, before the call that records it returns; with nil for w it
// keeps them in memory, for a Book.
func New(w io.Writer, process string) *Recorder {
	return &Recorder{process: process, start: time.Now(), w: w}
}

// Append makes a recorder that writes to the end of a file, which it makes when it is missing: for a child process, whose
// events are safe in the file whatever becomes of it. The file stays open until Close.
func Append(path, process string) (*Recorder, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // the file that the caller names
	if err != nil {
		return nil, err
	}
	return New(f, process), nil
}

// Close closes the file, if there is one, and returns the first error of writing. Later events are dropped.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.err
	if c, ok := r.w.(io.Closer); ok {
		err = errors.Join(err, c.Close())
	}
	r.closed = true
	return err
}

// Note records a line for people.
func (r *Recorder) Note(text string) { r.add(Event{Kind: Noted, Code: text}) }

// Left records that a message is still there, by its body as the broker holds it.
func (r *Recorder) Left(stream string, body []byte) {
	pieces(body, func(what, id string) { r.add(Event{Kind: Left, What: what, ID: id, Stream: stream}) })
}

// add writes an event. The time is taken under the lock, so that a file's times never go back; and by the monotonic
// clock, so that setting the machine's clock doesn't move it.
func (r *Recorder) add(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	e.Process, e.Time = r.process, r.start.UnixNano()+int64(time.Since(r.start))
	if r.w == nil {
		r.events = append(r.events, e)
		return
	}
	line, err := json.Marshal(e)
	if err == nil {
		_, err = r.w.Write(append(line, '\n'))
	}
	if err != nil && r.err == nil {
		r.err = err
	}
}

// Of returns the recorder of a driver that Driver made, nil of any other.
func Of(d transport.Driver) *Recorder {
	switch d := d.(type) {
	case *driver:
		return d.r
	case browsing:
		return d.r
	default:
		return nil
	}
}
