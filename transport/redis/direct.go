package redis

import (
	"io"
	"net"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// The direct path: the three kinds of commands that every call needs (XADD, XACK, the blocked reads) are written and read
// here, on the connection that go-redis has dialled and greeted, for half the work. Whatever else there is to do, such as
// scripts, errors of the connection, authentication, TLS, Sentinel and all of a Cluster, stays with go-redis, on the same connection:
// a link is used by one goroutine at a time and every pipeline is answered before the next, so the two never mix.

const (
	// longBody is the length from which a body is written from where it is instead of being copied, when the connection takes
	// many pieces with one system call; longBodyTLS is that where each piece is a system call and a TLS record of its own.
	longBody    = 2 << 10
	longBodyTLS = 16 << 10
	// maxKept bounds the buffers that a link keeps between pipelines.
	maxKept = 1 << 20
	// idleCheck is how long a connection was unused when it is worth looking whether the peer has closed it: then nothing is
	// sent, and the outcome is a certain rejection.
	idleCheck = time.Millisecond
)

// direct has a link's buffers.
type direct struct {
	out  []byte
	segs []segment   // where a long body is written between two parts of out
	vec  net.Buffers // out and the bodies, in order; rest is what of it is not written yet
	rest net.Buffers
	in   []byte
	r, w int // the unread part of in

	widened time.Time // when widen last did something
	extra   bool      // it did for this pipeline: one more answer comes

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
	conn := l.live()
	if conn == nil {
		return false, nil
	}
	d := &l.dir
	d.out, d.segs = d.out[:0], d.segs[:0]
	long := longBodyTLS
	if conn.vectored() {
		long = longBody
	}
	for _, c := range cmds {
		switch c := c.(type) {
		case *xadd:
			d.encodeAdd(c, long)
			continue
		case *goredis.IntCmd, *goredis.RawCmd:
		default:
			return false, nil
		}
		if !d.encode(c.Args()) {
			return false, nil
		}
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
	d.widen(conn, now)
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
	if err == nil && d.extra {
		_, err = d.value(conn) // whatever it says
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
	if len(d.segs) == 0 {
		_, err := conn.Write(d.out)
		return err
	}
	d.vec = d.vec[:0]
	from := 0
	for _, s := range d.segs {
		d.vec = append(d.vec, d.out[from:s.at], s.body)
		from = s.at
	}
	if from < len(d.out) {
		d.vec = append(d.vec, d.out[from:])
	}
	d.rest = d.vec // writing shortens it
	err := conn.writeVec(&d.rest)
	clear(d.vec)
	d.rest = nil
	return err
}

// encodeAdd appends an XADD; a body of long bytes or more stays where it is.
func (d *direct) encodeAdd(x *xadd, long int) {
	b := d.out
	if x.max > 0 {
		b = append(b, "*8\r\n$4\r\nxadd\r\n"...)
	} else {
		b = append(b, "*6\r\n$4\r\nxadd\r\n"...)
	}
	b = append(appendBulk(b, x.key), "$10\r\nnomkstream\r\n"...)
	if x.max > 0 {
		b = appendInt(append(b, "$6\r\nmaxlen\r\n"...), x.max)
	}
	b = appendHeader(append(b, "$1\r\n*\r\n$1\r\n"+bodyField+"\r\n"...), '$', len(x.body))
	if len(x.body) >= long {
		d.segs = append(d.segs, segment{len(b), x.body})
	} else {
		b = append(b, x.body...)
	}
	d.out = append(b, '\r', '\n')
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
	x, add := cmd.(*xadd)
	if add && d.skipID() {
		x.SetVal(1)
		return nil
	}
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
		own := make([]byte, len(raw)) // in this form the compiler doesn't clear it first
		copy(own, raw)
		c.SetVal(own)
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
		if add && err == nil {
			if n < 0 {
				x.SetErr(goredis.Nil)
			} else {
				x.SetVal(n) // only that there is an id is of interest
			}
			return nil
		}
	}
	return errReply
}

// skipID passes over the reply that nearly every XADD gets, an id of 10 to 99 characters, if all of it is here.
func (d *direct) skipID() bool {
	b := d.in[d.r:d.w]
	if len(b) < 5 || b[0] != '$' || !isDigit(b[1]) || !isDigit(b[2]) || b[3] != '\r' || b[4] != '\n' {
		return false
	}
	end := 5 + int(b[1]-'0')*10 + int(b[2]-'0') + 2
	if len(b) < end || b[end-2] != '\r' || b[end-1] != '\n' {
		return false
	}
	d.r += end
	return true
}

// value reads one whole reply, nested or not, and returns its bytes, valid until the next call.
func (d *direct) value(conn *watchedConn) ([]byte, error) {
	start, pos := d.r, d.r
	for left := 1; left > 0; left-- {
		kind, n, size, err := header(d.in[pos:d.w])
		for err == nil && size == 0 {
			if err = d.fill(conn, &start, &pos, d.w-pos+1); err == nil {
				kind, n, size, err = header(d.in[pos:d.w])
			}
		}
		if err != nil {
			return nil, err
		}
		pos += size
		switch kind {
		case '*', '>':
			left += max(n, 0)
		case '%':
			left += 2 * max(n, 0)
		case '$':
			if n < 0 {
				continue
			}
			if err := d.fill(conn, &start, &pos, n+2); err != nil {
				return nil, err
			}
			pos += n + 2
		}
	}
	d.r = pos
	return d.in[start:pos], nil
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
