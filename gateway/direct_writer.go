package gateway

import (
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamerson/streamerson/internal/quietconn"
	"golang.org/x/net/http/httpguts"
)

const (
	// directOut is how much of an answer is gathered before it is written, in bytes: most are one write.
	directOut = 64 << 10
	// directCopy is the longest piece of a body that is copied behind the header; the system takes longer ones as they are.
	directCopy = 16 << 10
)

var outBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }}

// directWriter is the http.ResponseWriter of a directConn, by net/http's rules for HTTP/1.1, but that it sends no trailers
// and no informational answers, and can't be hijacked.
type directWriter struct {
	c      *directConn
	h      http.Header
	status int
	keys   []string // to write fields in order

	buf     *[]byte // what is not written yet: the header without its end while open, and what follows
	open    bool    // neither length nor chunks were decided on: body holds what was written
	body    []byte
	left    int64 // of a declared length, −1 if there is none
	nothing bool  // the status has no body, whatever the handler writes
	head    bool  // the request was HEAD: the body is looked at only for what the header says of it
	chunked bool
	failed  error
}

// begin is called before each request.
func (w *directWriter) begin() {
	clear(w.h)
	*w = directWriter{c: w.c, h: w.h, keys: w.keys[:0], buf: outBuffers.Get().(*[]byte)}
}

// release gives the buffer back.
func (w *directWriter) release() {
	if w.buf != nil && cap(*w.buf) <= directOut {
		*w.buf = (*w.buf)[:0]
		outBuffers.Put(w.buf)
	}
	w.buf, w.body = nil, nil
}

// Header implements http.ResponseWriter.
func (w *directWriter) Header() http.Header { return w.h }

// WriteHeader implements http.ResponseWriter. The header is taken as it is now.
func (w *directWriter) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic("invalid WriteHeader code " + strconv.Itoa(status)) // as net/http does
	}
	if w.status != 0 || status < 200 {
		return
	}
	w.status, w.left = status, -1
	w.c.close = w.c.close || httpguts.HeaderValuesContainsToken(w.h["Connection"], "close")
	if !w.c.close && !w.c.body.pass() { // the header tells what becomes of the connection
		w.c.close = true
	}
	bodyless := status == http.StatusNoContent || status == http.StatusNotModified
	w.nothing, w.head = bodyless, w.c.req.Method == http.MethodHead
	b := appendStatus(*w.buf, status)
	for k := range w.h {
		w.keys = append(w.keys, k)
	}
	slices.Sort(w.keys)
	dated := false
	for _, k := range w.keys {
		switch k {
		case "Content-Length":
			if n, ok := digits(w.h.Get(k)); ok && !bodyless {
				w.left = n
			}
			continue
		case "Connection", "Transfer-Encoding", "Trailer":
			continue
		case "Content-Type":
			if status == http.StatusNotModified {
				continue
			}
		case "Date":
			dated = true
		}
		b = appendField(b, k, w.h[k])
	}
	if !dated {
		b = append(append(append(b, "Date: "...), httpDate()...), "\r\n"...)
	}
	*w.buf = b
	// The body decides about the type that net/http would guess, and about a length that was not declared.
	_, typed := w.h["Content-Type"]
	if w.open = !w.nothing && (w.left < 0 || !typed && w.h.Get("Content-Encoding") == ""); !w.open {
		w.decide(w.left)
	}
}

// decide ends the header: the body has this length, or is sent in chunks if it is negative.
func (w *directWriter) decide(length int64) {
	w.open = false
	b := *w.buf
	if w.c.close {
		b = append(b, "Connection: close\r\n"...)
	}
	switch {
	case length >= 0:
		b = append(b, "Content-Length: "...)
		b = append(strconv.AppendInt(b, length, 10), "\r\n"...)
		w.left = length
	case !w.nothing && !w.head:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		w.chunked = true
	}
	*w.buf = append(b, "\r\n"...)
}

// settle decides with the body that there is; final says that no more will come.
func (w *directWriter) settle(final bool) {
	if _, typed := w.h["Content-Type"]; !typed && w.h.Get("Content-Encoding") == "" && len(w.body) > 0 {
		*w.buf = appendField(*w.buf, "Content-Type", []string{http.DetectContentType(w.body)})
	}
	length := w.left
	if length < 0 && final && (len(w.body) > 0 || !w.head) {
		length = int64(len(w.body))
	}
	w.decide(length)
	body := w.body
	w.body = nil
	w.send(body)
}

// Write implements http.ResponseWriter.
func (w *directWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.failed != nil:
		return 0, w.failed
	case w.nothing:
		return 0, http.ErrBodyNotAllowed
	case w.left >= 0 && int64(len(p)+len(w.body)) > w.left:
		w.c.close = w.c.close || !w.head // as net/http does: who knows what the handler meant
		return 0, http.ErrContentLength
	case w.open:
		w.body = append(w.body, p...)
		if len(w.body) > directOut {
			w.settle(false)
		}
	default:
		w.send(p)
	}
	return len(p), w.failed
}

// send puts p behind what is not written yet.
func (w *directWriter) send(p []byte) {
	if len(p) == 0 || w.head {
		return
	}
	if w.left >= 0 {
		w.left -= int64(len(p))
	}
	if w.chunked {
		*w.buf = append(strconv.AppendInt(*w.buf, int64(len(p)), 16), "\r\n"...)
	}
	if len(p) > directCopy {
		if w.failed == nil {
			both := net.Buffers{*w.buf, p}
			_, w.failed = quietconn.WriteBuffers(w.c.quiet, &both)
		}
		*w.buf = (*w.buf)[:0]
	} else {
		*w.buf = append(*w.buf, p...)
	}
	if w.chunked {
		*w.buf = append(*w.buf, "\r\n"...)
	}
	if len(*w.buf) > directOut-directCopy {
		w.flush()
	}
}

// flush writes what is gathered. After an error nothing is written any more.
func (w *directWriter) flush() {
	if len(*w.buf) > 0 && w.failed == nil {
		_, w.failed = w.c.quiet.Write(*w.buf)
	}
	*w.buf = (*w.buf)[:0]
}

// finish ends the answer after its handler, and reports whether all of it was handed to the system.
func (w *directWriter) finish() bool {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.open {
		w.settle(true)
	}
	if w.chunked {
		*w.buf = append(*w.buf, "0\r\n\r\n"...)
	}
	if w.left > 0 && !w.head { // less than was declared: the client would take the next answer for the rest
		w.c.close = true
	}
	w.flush()
	w.release()
	return w.failed == nil
}

// FlushError implements what http.ResponseController looks for.
func (w *directWriter) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.open {
		w.settle(false)
	}
	w.flush()
	return w.failed
}

// Flush implements http.Flusher.
func (w *directWriter) Flush() { _ = w.FlushError() }

// SetReadDeadline and SetWriteDeadline implement what http.ResponseController looks for.
func (w *directWriter) SetReadDeadline(t time.Time) error {
	w.c.readBy.Store(w.c.d.at(t))
	return nil
}

// SetWriteDeadline is for http.ResponseController.
func (w *directWriter) SetWriteDeadline(t time.Time) error {
	w.c.writeBy.Store(w.c.d.at(t))
	return nil
}

// at is a time in direct's own; the zero time is none.
func (d *direct) at(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(1, d.after(time.Until(t)))
}

func appendStatus(b []byte, status int) []byte {
	if status == http.StatusOK {
		return append(b, "HTTP/1.1 200 OK\r\n"...)
	}
	b = strconv.AppendInt(append(b, "HTTP/1.1 "...), int64(status), 10)
	b = append(b, ' ')
	text := http.StatusText(status)
	if text == "" {
		text = "status code " + strconv.Itoa(status)
	}
	return append(append(b, text...), "\r\n"...)
}

// oneLine keeps a value from beginning another field.
var oneLine = strings.NewReplacer("\n", " ", "\r", " ")

func appendField(b []byte, key string, values []string) []byte {
	if strings.HasPrefix(key, http.TrailerPrefix) || !all(key, inToken) {
		return b
	}
	for _, v := range values {
		b = append(append(b, key...), ": "...)
		if strings.ContainsAny(v, "\r\n") {
			v = oneLine.Replace(v)
		}
		b = append(append(b, strings.Trim(v, " \t")...), "\r\n"...)
	}
	return b
}

// dated is a Date field's value and the second that it is for.
type dated struct {
	second int64
	text   string
}

var lastDate atomic.Pointer[dated]

// httpDate is made once a second.
func httpDate() string {
	now := time.Now()
	if d := lastDate.Load(); d != nil && d.second == now.Unix() {
		return d.text
	}
	d := &dated{now.Unix(), now.UTC().Format(http.TimeFormat)}
	lastDate.Store(d)
	return d.text
}
