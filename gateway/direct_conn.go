package gateway

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

const (
	// directHead is the read buffer of a connection in bytes, and so the longest header that is read here; net/http gets
	// those that are longer.
	directHead = 4 << 10
	// unwanted is the most that is read, in bytes, of a body that its handler didn't want, to use the connection on or to
	// close it gently: closing at once would reset it, and the answer might be lost with that. It is net/http's limit.
	unwanted = 256 << 10
	// lingerTime bounds the gentle close.
	lingerTime = 500 * time.Millisecond
)

// directConn is one connection. All but the atomics belong to its goroutine. What a request is made of is used again for
// the next one on the connection, so a handler must not keep it, nor its Header.
type directConn struct {
	d      *direct
	guard  *guard // goes to net/http with the connection
	conn   net.Conn
	quiet  net.Conn // conn as it is read and written: see internal/quietconn
	remote string
	ctx    context.Context // of all its requests: it ends when the client leaves
	cancel context.CancelFunc

	// In direct's time; 0 is none.
	readBy, writeBy atomic.Int64
	calling         atomic.Int64 // since when a handler runs

	buf    []byte
	r, n   int // buf[r:n] is what was read and not used
	blank  *http.Request
	req    *http.Request
	url    url.URL
	header http.Header
	values []string
	body   directBody
	w      directWriter
	close  bool // after this request
}

// serve runs the connection's life.
func (c *directConn) serve() {
	c.buf = make([]byte, directHead)
	c.req, c.header, c.w.h = new(http.Request), make(http.Header, 8), make(http.Header, 8)
	c.body.c, c.w.c = c, c
	wait := c.d.http.ReadHeaderTimeout
	for {
		length, verdict := c.readHead(wait)
		switch verdict {
		case headNone:
			c.end()
			return
		case headOther:
			c.handOver()
			return
		}
		if !c.answer(length) {
			c.end()
			return
		}
		wait = c.d.http.IdleTimeout
	}
}

func (c *directConn) end() {
	c.d.remove(c)
	c.cancel()
	_ = c.guard.Close() // nobody is left to tell
}

// headVerdict is what a connection's next bytes are.
type headVerdict uint8

const (
	headNone  headVerdict = iota // nothing more comes, or not in time
	headOther                    // net/http's
	headOurs
)

// readHead waits at most wait for the first byte and the header's own timeout for the rest. It returns the body's length.
func (c *directConn) readHead(wait time.Duration) (int64, headVerdict) {
	if c.r > 0 {
		c.n, c.r = copy(c.buf, c.buf[c.r:c.n]), 0
	}
	if c.n == 0 {
		c.readBy.Store(c.d.after(wait))
		c.guard.idle.Store(true)
		err := c.fill()
		c.guard.idle.Store(false)
		if err != nil {
			return 0, headNone
		}
	}
	c.readBy.Store(c.d.after(c.d.http.ReadHeaderTimeout))
	for seen := 0; ; {
		end, ok := headEnd(c.buf[:c.n], seen)
		switch {
		case !ok:
			return 0, headOther
		case end > 0:
			length, ours := c.parseHead(string(c.buf[:end]))
			if !ours {
				return 0, headOther
			}
			c.r = end
			return length, headOurs
		case c.n == len(c.buf):
			return 0, headOther
		}
		seen = c.n
		if c.fill() != nil {
			return 0, headNone
		}
	}
}

// fill reads once behind what there is.
func (c *directConn) fill() error {
	n, err := c.quiet.Read(c.buf[c.n:])
	c.n += n
	if n > 0 {
		return nil
	}
	return err
}

// answer serves the request whose header was read, and reports whether the connection can be used on.
func (c *directConn) answer(length int64) bool {
	c.body.left, c.body.failed = length, nil
	c.req.Body = http.NoBody
	if length > 0 {
		c.req.Body = &c.body
		c.readBy.Store(c.d.after(c.d.http.ReadTimeout))
	} else {
		c.readBy.Store(0)
	}
	c.writeBy.Store(c.d.after(c.d.http.WriteTimeout))
	c.w.begin()
	c.guard.arrive()
	c.calling.Store(max(1, c.d.clock.Load()))
	ok := c.invoke()
	c.calling.Store(0)
	if !ok || c.w.status == 0 && c.ctx.Err() != nil { // the client has gone, and nothing was answered
		c.w.release()
		return false
	}
	sent := c.w.finish()
	c.writeBy.Store(0)
	if sent && c.close {
		c.linger()
	}
	return sent && !c.close
}

// linger lets the answer arrive before the connection is closed.
func (c *directConn) linger() {
	if c.guard.CloseWrite() != nil {
		return
	}
	c.readBy.Store(c.d.after(lingerTime))
	for left := unwanted; left > 0; {
		n, err := c.quiet.Read(c.buf)
		if left -= n; err != nil {
			return
		}
	}
}

// handOver gives the connection to net/http, from the request on that was not taken here.
func (c *directConn) handOver() {
	c.d.remove(c)                       // no sweep touches it any more
	_ = c.conn.SetDeadline(time.Time{}) // it is closed already
	c.cancel()
	c.guard.Conn = &replayed{Conn: c.conn, rest: bytes.Clone(c.buf[:c.n])}
	if c.guard.arrived.Swap(false) { // a shutdown must wait until it has reached the handler there
		c.guard.fresh.Add(1)
	}
	c.d.accept.give(c.guard)
}

// directBody is a request's body of a declared length.
type directBody struct {
	c      *directConn
	left   int64
	failed error
}

// Read implements io.Reader.
func (b *directBody) Read(p []byte) (int, error) {
	c := b.c
	switch {
	case b.failed != nil:
		return 0, b.failed
	case b.left == 0:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	p = p[:min(int64(len(p)), b.left)]
	var n int
	var err error
	if c.r < c.n {
		n = copy(p, c.buf[c.r:c.n])
		c.r += n
	} else if n, err = c.quiet.Read(p); n > 0 {
		err = nil
	}
	if b.left -= int64(n); b.left == 0 {
		c.readBy.Store(0)
		return n, io.EOF
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	b.failed = err
	return n, err
}

// whole returns the rest of the body if it has arrived; it stays valid until the request is answered.
func (b *directBody) whole() ([]byte, bool) {
	c := b.c
	if b.failed != nil || b.left > int64(c.n-c.r) {
		return nil, false
	}
	p := c.buf[c.r : c.r+int(b.left) : c.r+int(b.left)]
	c.r, b.left = c.r+int(b.left), 0
	c.readBy.Store(0)
	return p, true
}

// pass reads what the handler left and reports whether the next request begins there.
func (b *directBody) pass() bool {
	if b.left > unwanted {
		return false
	}
	c := b.c
	for b.left > 0 {
		if c.r == c.n {
			c.r, c.n = 0, 0
			if c.fill() != nil {
				return false
			}
		}
		k := int(min(b.left, int64(c.n-c.r)))
		c.r, b.left = c.r+k, b.left-int64(k)
	}
	c.readBy.Store(0)
	return true
}

// Close implements io.Closer. What was not read is passed over, or the connection ends.
func (b *directBody) Close() error {
	if b.failed == nil {
		b.failed = http.ErrBodyReadAfterClose
	}
	return nil
}
