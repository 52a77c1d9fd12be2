package redis

import (
	"errors"
	"strconv"

	"github.com/streamerson/streamerson/transport"
)

// entry is one message of a read's reply. body points into the reply.
type entry struct {
	stream int // index into the keys that were asked for
	id     string
	body   []byte
}

var errReply = errors.New("the broker's reply can't be parsed")

// replyError is an error reply.
type replyError string

func (e replyError) Error() string { return string(e) }

// RedisError makes it a goredis.Error, like the client's own.
func (replyError) RedisError() {}

// parser walks a RESP2 reply in place: no maps, no copies, one string per id.
type parser struct {
	b   []byte
	pos int
}

// line returns the next line without its CRLF.
func (p *parser) line() ([]byte, error) {
	for i := p.pos; i+1 < len(p.b); i++ {
		if p.b[i] == '\r' && p.b[i+1] == '\n' {
			l := p.b[p.pos:i]
			p.pos = i + 2
			if len(l) == 0 {
				return nil, errReply
			}
			return l, nil
		}
	}
	return nil, errReply
}

// header reads a line of the given type and returns its number, −1 for nil.
func (p *parser) header(kind byte) (int, error) {
	l, err := p.line()
	if err != nil {
		return 0, err
	}
	if l[0] == '-' {
		return 0, replyError(l[1:])
	}
	if l[0] != kind && !(len(l) == 3 && l[1] == '-') {
		return 0, errReply
	}
	n, neg := 0, false
	for i, c := range l[1:] {
		switch {
		case i == 0 && c == '-':
			neg = true
		case c >= '0' && c <= '9':
			n = n*10 + int(c-'0')
		default:
			return 0, errReply
		}
	}
	if neg {
		return -1, nil
	}
	return n, nil
}

// bulk returns a bulk string, nil for a nil one; its capacity ends with it, so that an append can't touch what follows.
func (p *parser) bulk() ([]byte, error) {
	n, err := p.header('$')
	if err != nil || n < 0 {
		return nil, err
	}
	if p.pos+n+2 > len(p.b) {
		return nil, errReply
	}
	v := p.b[p.pos : p.pos+n : p.pos+n]
	p.pos += n + 2
	return v, nil
}

// parseStreams reads the reply of XREAD and XREADGROUP. find gives the index of a key. Entries that were deleted come
// without fields and are left out.
func parseStreams(reply []byte, find func(key []byte) int, dst []entry) ([]entry, error) {
	p := &parser{b: reply}
	streams, err := p.header('*')
	if err != nil || streams < 0 {
		return dst, err
	}
	for range streams {
		if n, err := p.header('*'); err != nil || n != 2 {
			return dst, orReply(err)
		}
		key, err := p.bulk()
		if err != nil {
			return dst, err
		}
		idx := find(key)
		n, err := p.header('*')
		if err != nil {
			return dst, err
		}
		for range n {
			e, ok, err := p.entry()
			if err != nil {
				return dst, err
			}
			if ok && idx >= 0 {
				e.stream = idx
				dst = append(dst, e)
			}
		}
	}
	return dst, nil
}

func orReply(err error) error {
	if err != nil {
		return err
	}
	return errReply
}

func (p *parser) entry() (e entry, ok bool, err error) {
	if n, err := p.header('*'); err != nil || n != 2 {
		return e, false, orReply(err)
	}
	id, err := p.bulk()
	if err != nil {
		return e, false, err
	}
	e.id = string(id)
	n, err := p.header('*')
	if err != nil {
		return e, false, err
	}
	// The body is the field "b"; an entry that something else wrote is delivered by its last field's value.
	found := false
	for range n / 2 {
		name, err := p.bulk()
		if err != nil {
			return e, false, err
		}
		v, err := p.bulk()
		if err != nil {
			return e, false, err
		}
		if !found {
			e.body, found = v, string(name) == bodyField
		}
	}
	return e, n >= 0, nil
}

// idTime is the broker's time in an entry's id, in Unix milliseconds.
func idTime(id string) int64 {
	for i := range len(id) {
		if id[i] == '-' {
			id = id[:i]
			break
		}
	}
	ms, _ := strconv.ParseInt(id, 10, 64)
	return ms
}

// nextID is the smallest id above id.
func nextID(id string) string {
	for i := range len(id) {
		if id[i] == '-' {
			seq, err := strconv.ParseUint(id[i+1:], 10, 64)
			if err != nil {
				break
			}
			return id[:i+1] + strconv.FormatUint(seq+1, 10)
		}
	}
	return id
}

// newDelivery builds what Receive returns.
func (d *Driver) newDelivery(st *streamState, id string, body []byte, attempt int, tok *token) transport.Delivery {
	return transport.Delivery{Stream: st.name, ID: id, Body: body, Attempt: attempt, Age: d.age(id), Token: tok}
}
