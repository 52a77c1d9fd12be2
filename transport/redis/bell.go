package redis

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/transport"
)

// The bell: a consumer of many streams has Redis name, on the connection that it reads with, the streams to which something was added
// (client tracking in broadcast mode, a thing of RESP3). So it reads those, instead of sweeping all to find the few that have
// something, and nothing but the broker has to know of it: whoever adds an entry rings. Names are hints. A stream counts as rung until
// a read brought less than it could have, and all count as rung when the bell was just hung up, and each bellSweep.
const (
	// bellPrefix is what all request streams' keys begin with, and their presence's, but no lane's.
	bellPrefix = keyPrefix + "{"
	// bellSweep is how often all streams are read even so, and how long a request waits at most whose ring was lost.
	bellSweep = 250 * time.Millisecond
)

// bell is the part of a consumer's link that pushed messages need. All but the waiting belongs to Receive's goroutine.
type bell struct {
	conn    *watchedConn // speaks RESP3 and tracks; nil when none does
	refused bool         // this broker, or user, has no tracking
	names   map[string]*consumerStream
	all     bool // everything may have changed

	mu      sync.Mutex
	waiting *watchedConn // reads without a command under way
}

// hang makes the link's connection one that is told of additions, and reports whether it is. Without a connection it isn't: the next
// ordinary read makes one.
func (c *consumer) hang() bool {
	b, conn := &c.bell, c.link.live()
	if b.conn != nil && b.conn == conn {
		return true
	}
	b.conn = nil
	if conn == nil || b.refused || c.link.viaClient {
		return false
	}
	d := &c.link.dir
	d.out, d.r, d.w = d.out[:0], 0, 0
	d.encode([]any{"hello", 3})
	d.encode([]any{"client", "tracking", "on", "bcast", "prefix", bellPrefix})
	_ = conn.SetDeadline(time.Now().Add(c.link.readTimeout)) // fails only on a closed connection; the write tells
	d.viaGoredis()
	err := d.write(conn)
	for _, kind := range []byte("%+") { // HELLO's map, and OK
		var raw []byte
		if raw, err = c.answer(conn, err); err == nil && raw[0] != kind {
			err = errReply
			if raw[0] == '-' {
				err = replyError(raw[1 : len(raw)-2])
			}
			b.refused = codeOf(err) != transport.CodeUnavailable // a broker that is loading takes it later
		}
	}
	if err != nil {
		_ = conn.Close() // the next one is as before
		return false
	}
	b.conn, b.all = conn, true
	return true
}

// answer reads the next value that is no push, valid until the next call. Pushes are taken note of.
func (c *consumer) answer(conn *watchedConn, err error) ([]byte, error) {
	for {
		var raw []byte
		if err == nil {
			raw, err = c.link.dir.value(conn)
		}
		if err != nil {
			return nil, err
		}
		if raw[0] != '>' {
			return raw, nil
		}
		c.bell.heard(raw)
	}
}

// heard marks the streams that a push names.
func (b *bell) heard(raw []byte) {
	p := &parser{b: raw}
	if n, err := p.header('>'); err != nil || n != 2 {
		return
	}
	if what, err := p.bulk(); err != nil || string(what) != "invalidate" {
		return
	}
	n, err := p.header('*')
	if err != nil || n < 0 { // no names: all keys were deleted
		b.all = true
		return
	}
	for range n {
		key, err := p.bulk()
		if err != nil {
			b.all = true
			return
		}
		if name, ok := bytes.CutPrefix(key, []byte(bellPrefix)); ok && len(name) > 0 {
			if cs := b.names[string(name[:len(name)-1])]; cs != nil && name[len(name)-1] == '}' {
				cs.rung = true
			}
		}
	}
}

// exchange runs one command on the connection with the bell, like link.pipeline.
func (c *consumer) exchange(cmd *goredis.RawCmd) error {
	conn, d := c.bell.conn, &c.link.dir
	d.out, d.segs = d.out[:0], d.segs[:0]
	_ = conn.SetDeadline(time.Now().Add(c.link.readTimeout)) // fails only on a closed connection; the write tells
	if !d.encode(cmd.Args()) {
		return errReply
	}
	raw, err := c.answer(conn, d.write(conn))
	d.used = time.Now()
	switch {
	case err != nil:
		cmd.SetErr(err)
		_ = conn.Close()
	case raw[0] == '-':
		cmd.SetErr(replyError(raw[1 : len(raw)-2]))
	default:
		cmd.SetVal(append(make([]byte, 0, len(raw)), raw...)) // the deliveries' bodies point into it
	}
	if d.r == d.w {
		d.r, d.w = 0, 0
		d.trim()
	}
	return err
}

// await waits for the bell until some time by mono.
func (c *consumer) await(ctx context.Context, until int64) error {
	b, conn, d := &c.bell, c.bell.conn, &c.link.dir
	if d.r == d.w {
		d.r, d.w = 0, 0
		seq := c.reading.Add(1)
		defer c.reading.Add(1)
		if c.closed.Load() {
			return nil
		}
		b.mu.Lock()
		b.waiting = conn
		_ = conn.SetReadDeadline(time.Now().Add(max(time.Duration(until-mono()), time.Millisecond)))
		b.mu.Unlock()
		stop := context.AfterFunc(ctx, func() { b.wake(func() bool { return c.reading.Load() == seq }) })
		var err error
		if len(d.in) == 0 {
			d.in = make([]byte, bufferSize)
		}
		d.w, err = conn.Read(d.in)
		stop()
		b.mu.Lock()
		b.waiting = nil
		b.mu.Unlock()
		if d.w == 0 {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return nil
			}
			_ = conn.Close()
			return connFail("receive", "", err)
		}
	}
	_ = conn.SetDeadline(time.Now().Add(c.link.readTimeout))
	for d.r < d.w {
		raw, err := d.value(conn)
		if err == nil && raw[0] != '>' {
			err = errReply
		}
		if err != nil {
			_ = conn.Close()
			return connFail("receive", "", err)
		}
		b.heard(raw)
	}
	return nil
}

// wake ends an await, if it is the one that is meant.
func (b *bell) wake(meant func() bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting != nil && meant() {
		_ = b.waiting.SetReadDeadline(time.Unix(1, 0))
	}
}

// ringAll makes all streams count as rung, when it is time for that.
func (c *consumer) ringAll() {
	if now := mono(); now >= c.nextSweep || c.bell.all {
		c.nextSweep, c.bell.all = now+int64(bellSweep), false
		for _, cs := range c.byName {
			cs.rung = true
		}
	}
}

// named notes that a consumer reads a stream. Nobody knows yet what is in it.
func (b *bell) named(cs *consumerStream) {
	cs.rung = true
	if b.names == nil {
		b.names = map[string]*consumerStream{}
	}
	b.names[strings.Clone(cs.st.name)] = cs
}
