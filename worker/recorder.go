package worker

import (
	"bufio"
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"sync"

	"github.com/streamerson/streamerson/rpc"
	"golang.org/x/time/rate"
)

// keepBuffer is the largest body that is copied out of a pooled buffer, in bytes. A larger one leaves with its buffer:
// copying it would cost more than making a new one.
const keepBuffer = 64 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// recorder is the http.ResponseWriter of a response that is sent whole. It follows net/http's rules: the header is taken
// at the first WriteHeader, Write or Flush; what a handler does after that is ignored or refused in the same way.
type recorder struct {
	// mu keeps a goroutine that a handler left behind from writing into a buffer that is another response's by now.
	mu     sync.Mutex
	header http.Header
	buf    *[]byte
	limit  int
	log    *warner
	head   bool // the request's method is HEAD
	done   bool // the handler has returned

	status   int
	taken    rpc.Header // the header as it was at the first WriteHeader
	ctype    string
	noSniff  bool
	declared int64 // Content-Length as the handler set it, −1 if it did not
	tooLarge bool
}

func (w *recorder) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header, 4)
	}
	return w.header
}

func (w *recorder) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done || w.status != 0 {
		w.log.superfluous()
		return
	}
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %v", status)) // as net/http does: no client could read it
	}
	if status < 200 {
		return // informational: the one message that there is goes out at the end
	}
	w.take(status)
}

// take fixes status and header. The caller holds mu.
func (w *recorder) take(status int) {
	w.status, w.declared = status, -1
	h := w.header
	_, w.noSniff = h["Content-Type"]
	w.noSniff = w.noSniff || h.Get("Content-Encoding") != "" || h.Get("Transfer-Encoding") != ""
	w.ctype = h.Get("Content-Type")
	if status == http.StatusNotModified {
		w.ctype = ""
	}
	if n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64); err == nil && n >= 0 && bodyAllowed(status) {
		w.declared = n
	}
	if len(h) > 0 {
		w.taken = appendFields(make(rpc.Header, 0, len(h)), h, ownResponseKey)
	}
}

// ownResponseKey names what isn't sent as a header field: the content type has a place of its own, and the prefix marks
// trailers.
func ownResponseKey(key string) bool {
	return key == "Content-Type" || len(key) >= len(http.TrailerPrefix) && key[:len(http.TrailerPrefix)] == http.TrailerPrefix
}

func (w *recorder) Write(p []byte) (int, error) {
	if err := w.begin(len(p)); err != nil {
		return 0, err
	}
	*w.buf = append(*w.buf, p...)
	w.mu.Unlock()
	return len(p), nil
}

// WriteString saves io.WriteString a copy.
func (w *recorder) WriteString(s string) (int, error) {
	if err := w.begin(len(s)); err != nil {
		return 0, err
	}
	*w.buf = append(*w.buf, s...)
	w.mu.Unlock()
	return len(s), nil
}

// begin checks that n more bytes may be written, and returns with mu held if so.
func (w *recorder) begin(n int) error {
	w.mu.Lock()
	err := w.check(n)
	if err != nil {
		w.mu.Unlock()
	}
	return err
}

func (w *recorder) check(n int) error {
	if w.done {
		return http.ErrHandlerTimeout // the nearest that net/http has: too late, nobody will see this
	}
	if w.status == 0 {
		w.take(http.StatusOK)
	}
	if !bodyAllowed(w.status) {
		if n == 0 {
			return nil
		}
		return http.ErrBodyNotAllowed
	}
	if w.buf == nil {
		w.buf = buffers.Get().(*[]byte)
	}
	total := len(*w.buf) + n
	if w.declared >= 0 && int64(total) > w.declared {
		return http.ErrContentLength
	}
	if total > w.limit {
		w.tooLarge = true
		return fmt.Errorf("worker: the response is larger than the limit of %d bytes", w.limit)
	}
	return nil
}

// Flush fixes the header, as net/http's does, and sends nothing: a response is one message.
func (w *recorder) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return
	}
	if w.status == 0 {
		w.take(http.StatusOK)
	}
	w.sniff()
	w.noSniff = true
}

// EnableFullDuplex succeeds: the request's body is here already.
func (w *recorder) EnableFullDuplex() error { return nil }

// Hijack refuses: there is no connection.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, fmt.Errorf("worker: a request from a stream has no connection to hijack: %w", http.ErrNotSupported)
}

func (w *recorder) sniff() {
	if !w.noSniff && w.buf != nil && len(*w.buf) > 0 && bodyAllowed(w.status) {
		w.ctype = http.DetectContentType(*w.buf)
	}
}

// finish ends the recording and makes the message. It must be called after the handler returned normally.
func (w *recorder) finish() (*rpc.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = true
	if w.status == 0 {
		w.take(http.StatusOK)
	}
	written := 0
	if w.buf != nil {
		written = len(*w.buf)
	}
	switch {
	case w.tooLarge:
		w.release()
		return nil, tooLarge(w.limit)
	case w.declared >= 0 && int64(written) < w.declared && !w.head:
		w.release()
		return nil, runtimeError(rpc.CodeInternal, "the handler declared Content-Length %d and wrote %d bytes", w.declared, written)
	}
	w.sniff()
	resp := &rpc.Response{Status: w.status, Header: w.taken, ContentType: w.ctype}
	switch {
	case w.head:
		if n := max(w.declared, int64(written)); n > 0 {
			resp.Header = append(resp.Header, rpc.Field{Name: "Content-Length", Value: strconv.FormatInt(n, 10)})
		}
		w.release()
	case written > keepBuffer:
		resp.Body, w.buf = *w.buf, nil
	case written > 0:
		resp.Body = bytes.Clone(*w.buf)
		w.release()
	}
	return resp, nil
}

func (w *recorder) release() {
	if w.buf != nil && cap(*w.buf) <= 2*keepBuffer {
		*w.buf = (*w.buf)[:0]
		buffers.Put(w.buf)
	}
	w.buf = nil
}

// bodyAllowed is RFC 9110's rule for responses.
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// warner logs a handler's mistakes, at most one line a second.
type warner struct {
	log  *slog.Logger
	some rate.Sometimes
}

func (l *warner) superfluous() {
	l.some.Do(func() {
		_, file, line, _ := runtime.Caller(4)
		l.log.Warn("superfluous WriteHeader call: the status was set before, or the handler has returned", "file", file, "line", line)
	})
}
