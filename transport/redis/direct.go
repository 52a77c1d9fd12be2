package redis

import (
	"io"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// The direct path: the three kinds of commands that every call needs (XADD, XACK, the blocked reads) are written and read
// here, on the connection that go-redis has dialled and greeted, for half the work. Whatever else there is to do, such as
// scripts, errors of the connection, authentication, TLS, Sentinel and all of a Cluster, stays with go-redis, on the same connection:
// a link is used by one goroutine at a time and every pipeline is answered before the next, so the two never mix.

const (
	// bigBody is the length from which a body is written from where it is instead of being copied.
	bigBody = 16 << 10
	// maxKept bounds the buffers that a link keeps between pipelines.
	maxKept = 1 << 20
	// idleCheck is how long a connection was unused when it is worth looking whether the peer has closed it: then nothing is
	// sent, and the outcome is a certain rejection.
	idleCheck = time.Millisecond
)

// direct has a link's buffers.
type direct struct {
	out  []byte
	segs []segment // where a big body is written between two parts of out
	in   []byte
	r, w int // the unread part of in

	conn     *watchedConn // the connection that deadline is set on
	deadline time.Time
	used     time.Time
}

type segment struct {
	at   int // bytes of out before it
	body []byte
}

// direct runs cmds if they are all of the three kinds and the connection is up. Otherwise nothing was sent. The error is as
// for pipeline.
func (l *link) direct(cmds []goredis.Cmder) (done bool, err error) {
	if l.viaClient {
		return false, nil
	}
	d := &l.dir
	d.out, d.segs = d.out[:0], d.segs[:0]
	for _, c := range cmds {
		switch c.(type) {
		case *goredis.ZeroCopyStringCmd, *goredis.IntCmd, *goredis.RawCmd:
		default:
			return false, nil
		}
		if !d.encode(c.Args()) {
			return false, nil
		}
	}
	conn := l.live()
	if conn == nil {
		return false, nil
	}
	now := time.Now()
	if now.Sub(d.used) > idleCheck && conn.peerClosed() {
		_ = conn.Close()
		return false, nil
	}
	if d.conn != conn || d.deadline.Sub(now) < l.readTimeout {
		// Setting a deadline costs a timer: it is a quarter longer than asked for, and renewed when less than that is left.
		d.conn, d.deadline = conn, now.Add(l.readTimeout+l.readTimeout/4)
		_ = conn.SetDeadline(d.deadline) // fails only on a closed connection; the write tells
	}
	err = d.exchange(conn, cmds)
	d.used = now
	if err != nil {
		_ = conn.Close()
	}
	d.trim()
	return true, err
}

// viaGoredis notes that go-redis has used the connection, and set its own deadlines.
func (d *direct) viaGoredis() { d.conn = nil }

func (d *direct) trim() {
	clear(d.segs)
	if cap(d.out) > maxKept {
		d.out = nil
	}
	if cap(d.in) > maxKept {
		d.in = nil
	}
}

// live returns the connection if it is ready for commands.
func (l *link) live() *watchedConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil || !l.conn.ready.Load() || l.conn.closed.Load() {
		return nil
	}
	return l.conn
}

// exchange writes all commands and reads all replies. After an error the commands without a reply carry it.
func (d *direct) exchange(conn *watchedConn, cmds []goredis.Cmder) error {
	d.r, d.w = 0, 0
	n := 0
	err := d.write(conn)
	for ; err == nil && n < len(cmds); n++ {
		if err = d.reply(conn, cmds[n]); err != nil {
			break
		}
	}
	if err == nil && d.r != d.w {
		err = errReply
	}
	if err != nil {
		for _, c := range cmds[n:] {
			c.SetErr(err)
		}
	}
	return err
}

func (d *direct) write(conn *watchedConn) error {
	from := 0
	for _, s := range d.segs {
		if _, err := conn.Write(d.out[from:s.at]); err != nil {
			return err
		}
		if _, err := conn.Write(s.body); err != nil {
			return err
		}
		from = s.at
	}
	if from == len(d.out) {
		return nil
	}
	_, err := conn.Write(d.out[from:])
	return err
}

// encode appends one command; false means that it has an argument of another kind.
func (d *direct) encode(args []any) bool {
	b := appendHeader(d.out, '*', len(args))
	for _, a := range args {
		switch v := a.(type) {
		case string:
			b = appendBulk(b, v)
		case *string:
			b = appendBulk(b, *v)
		case int:
			b = appendInt(b, int64(v))
		case int64:
			b = appendInt(b, v)
		case *int64:
			b = appendInt(b, *v)
		case *bodyArg:
			b = appendHeader(b, '$', len(*v))
			if len(*v) >= bigBody {
				d.segs = append(d.segs, segment{len(b), *v})
			} else {
				b = append(b, *v...)
			}
			b = append(b, '\r', '\n')
		default:
			d.out = b
			return false
		}
	}
	d.out = b
	return true
}

func appendHeader(b []byte, kind byte, n int) []byte {
	b = append(b, kind)
	b = strconv.AppendInt(b, int64(n), 10)
	return append(b, '\r', '\n')
}

func appendBulk(b []byte, s string) []byte {
	b = appendHeader(b, '$', len(s))
	b = append(b, s...)
	return append(b, '\r', '\n')
}

func appendInt(b []byte, n int64) []byte {
	var num [20]byte
	s := strconv.AppendInt(num[:0], n, 10)
	b = appendHeader(b, '$', len(s))
	b = append(b, s...)
	return append(b, '\r', '\n')
}

// reply reads one reply into its command.
func (d *direct) reply(conn *watchedConn, cmd goredis.Cmder) error {
	raw, err := d.value(conn)
	if err != nil {
		return err
	}
	if c, ok := cmd.(*goredis.RawCmd); ok {
		if raw[0] == '-' {
			c.SetErr(replyError(raw[1 : len(raw)-2]))
			return nil
		}
		// A copy of its exact size: the bodies of the deliveries point into it, for as long as a handler likes.
		c.SetVal(append(make([]byte, 0, len(raw)), raw...))
		return nil
	}
	p := parser{b: raw}
	switch raw[0] {
	case '-':
		cmd.SetErr(replyError(raw[1 : len(raw)-2]))
		return nil
	case ':':
		n, err := p.header(':')
		if c, ok := cmd.(*goredis.IntCmd); ok && err == nil {
			c.SetVal(int64(n))
			return nil
		}
	case '$':
		n, err := p.header('$')
		if c, ok := cmd.(*goredis.ZeroCopyStringCmd); ok && err == nil {
			if n < 0 {
				c.SetErr(goredis.Nil)
			} else {
				c.SetVal(n) // only that there is an id is of interest
			}
			return nil
		}
	}
	return errReply
}

// value reads one whole reply, nested or not, and returns its bytes, valid until the next call.
func (d *direct) value(conn *watchedConn) ([]byte, error) {
	start, pos := d.r, d.r
	for left := 1; left > 0; left-- {
		end, err := d.lineEnd(conn, &start, &pos)
		if err != nil {
			return nil, err
		}
		kind := d.in[pos]
		n := 0
		if kind == '*' || kind == '$' {
			if n, err = strconv.Atoi(string(d.in[pos+1 : end])); err != nil { // no allocation: the string does not escape
				return nil, errReply
			}
		}
		pos = end + 2
		switch kind {
		case '*':
			left += max(n, 0)
		case '$':
			if n < 0 {
				continue
			}
			if err := d.fill(conn, &start, &pos, n+2); err != nil {
				return nil, err
			}
			pos += n + 2
		case '+', '-', ':':
		default:
			return nil, errReply
		}
	}
	d.r = pos
	return d.in[start:pos], nil
}

// lineEnd returns the offset of the CRLF that ends the line at pos.
func (d *direct) lineEnd(conn *watchedConn, start, pos *int) (int, error) {
	for i := *pos; ; {
		for ; i+1 < d.w; i++ {
			if d.in[i] == '\r' && d.in[i+1] == '\n' {
				if i == *pos {
					return 0, errReply
				}
				return i, nil
			}
		}
		offset := i - *pos
		if err := d.fill(conn, start, pos, d.w-*pos+1); err != nil {
			return 0, err
		}
		i = *pos + offset
	}
}

// fill reads until need bytes stand behind pos. It moves what begins at start to the front, and both offsets with it.
func (d *direct) fill(conn *watchedConn, start, pos *int, need int) error {
	for d.w-*pos < need {
		if *pos+need > len(d.in) || d.w == len(d.in) {
			if *start > 0 {
				d.w = copy(d.in, d.in[*start:d.w])
				*pos -= *start
				*start = 0
			}
			if size := max(*pos+need, bufferSize); size > len(d.in) {
				in := make([]byte, max(size, min(2*len(d.in), size+maxKept)))
				copy(in, d.in[:d.w])
				d.in = in
			}
		}
		n, err := conn.Read(d.in[d.w:])
		d.w += n
		if err != nil && d.w-*pos < need {
			if err == io.EOF {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}
