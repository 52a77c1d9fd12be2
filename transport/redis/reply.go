package redis

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/streamerson/streamerson/transport"
)

// entry is one message of a read's reply. id and body point into the reply.
type entry struct {
	stream int // index into the keys that were asked for
	id     []byte
	body   []byte
}

var errReply = errors.New("the broker's reply can't be parsed")

// replyError is an error reply.
type replyError string

func (e replyError) Error() string { return string(e) }

// RedisError makes it a goredis.Error, like the client's own.
func (replyError) RedisError() {}

// parser walks a RESP2 reply in place: no maps, no copies.
type parser struct {
	b   []byte
	pos int
}

// header reads the line that begins b: its kind, its number (−1 for nil; 0 for a text) and its length with the CRLF, which is
// 0 while the line is not whole.
func header(b []byte) (kind byte, n, size int, err error) {
	if len(b) < 3 {
		if len(b) == 2 && b[0] == '\r' && b[1] == '\n' {
			err = errReply
		}
		return 0, 0, 0, err
	}
	switch kind = b[0]; kind {
	case '*', '$', ':', '>', '%':
	case '_': // RESP3's nil
		return kind, -1, 3, nil
	case '+', '-':
		if i := bytes.Index(b, crlf); i > 0 {
			return kind, 0, i + 2, nil
		}
		return kind, 0, 0, nil
	default:
		return 0, 0, 0, errReply
	}
	i, neg := 1, b[1] == '-'
	if neg {
		i = 2
	}
	first := i
	for ; i < len(b) && isDigit(b[i]); i++ {
		n = n*10 + int(b[i]-'0')
	}
	switch {
	case i-first > maxDigits || i < len(b) && (i == first || b[i] != '\r') || i+1 < len(b) && b[i+1] != '\n':
		return 0, 0, 0, errReply
	case i+1 >= len(b):
		return kind, 0, 0, nil
	case neg:
		n = -1
	}
	return kind, n, i + 2, nil
}

// maxDigits keeps a number from overflowing.
const maxDigits = 18

var crlf = []byte("\r\n")

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// header reads a line of the given kind and returns its number, −1 for nil.
func (p *parser) header(kind byte) (int, error) {
	k, n, size, err := header(p.b[p.pos:])
	if err != nil || size == 0 {
		return 0, errReply
	}
	l := p.b[p.pos : p.pos+size-2]
	p.pos += size
	switch {
	case k == kind || k != '+' && n < 0: // RESP2 has a nil of each kind
		return n, nil
	case k == '-':
		return 0, replyError(l[1:])
	}
	return 0, errReply
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

// parseStreams reads the reply of XREAD and XREADGROUP, which is an array of pairs or, in RESP3, a map. find gives the index of a
// key. Entries that were deleted come without fields and are left out.
func parseStreams(reply []byte, find func(key []byte) int, dst []entry) ([]entry, error) {
	p := &parser{b: reply}
	if len(reply) > 0 && reply[0] == '_' {
		return dst, nil
	}
	kind := byte('*')
	if len(reply) > 0 && reply[0] == '%' {
		kind = '%'
	}
	streams, err := p.header(kind)
	if err != nil || streams < 0 {
		return dst, err
	}
	for range streams {
		if kind == '*' {
			if n, err := p.header('*'); err != nil || n != 2 {
				return dst, orReply(err)
			}
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
	e.id = id
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

// newDelivery builds what Receive returns; now is the broker's time.
func newDelivery(st *streamState, id string, body []byte, attempt int, tok *token, now int64) transport.Delivery {
	return transport.Delivery{Stream: st.name, ID: id, Body: body, Attempt: attempt, Age: ageAt(now, id), Token: tok}
}
