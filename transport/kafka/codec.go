package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

// Produce and Fetch, of which every call costs some, are written and read here: the client library goes by reflection over
// pages, which took a quarter of a process's time. All other requests are the library's.
const (
	produceVersion = 7  // Kafka 2.1; the next adds messages for people
	fetchVersion   = 11 // Kafka 2.3; the next are flexible, which has nothing for us
	clientID       = "streamerson"
	// largeAnswer is from where on an answer gets more time for its bytes, and its buffer isn't kept.
	largeAnswer = 1 << 20
)

// request begins a request in the link's own buffer. send ends it.
func (l *link) request(api protocol.ApiKey, version int16) []byte {
	l.serial++
	b := append(l.out[:0], 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(api))     //nolint:gosec // a known number
	b = binary.BigEndian.AppendUint16(b, uint16(version)) //nolint:gosec // a known number
	b = binary.BigEndian.AppendUint32(b, l.serial)
	return appendString(b, clientID)
}

// send writes a request and returns its answer, which is valid until the link's next request.
func (l *link) send(ctx context.Context, limit time.Duration, b []byte) ([]byte, error) {
	if l.out = b; cap(b) > largeAnswer {
		l.out = nil
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4)) //nolint:gosec // at most some 100 MiB
	if _, err := l.conn.Write(b); err != nil {
		return nil, err
	}
	var head [8]byte
	if _, err := io.ReadFull(l.conn, head[:]); err != nil {
		return nil, err
	}
	size := int(int32(binary.BigEndian.Uint32(head[:]))) - 4 //nolint:gosec // checked below
	if size < 0 || size > 2*maxMaxBody || binary.BigEndian.Uint32(head[4:]) != l.serial {
		return nil, errors.New("the broker's answer doesn't belong to the request")
	}
	if size > largeAnswer {
		_ = l.tcp.SetDeadline(time.Now().Add(limit + time.Duration(size)*time.Second/slowest))
		if err := ctx.Err(); err != nil { // its end has set a deadline that was just undone
			return nil, err
		}
	}
	in := l.in
	if size > cap(in) {
		in = make([]byte, size+size/4)
	}
	if l.in = in; size > largeAnswer {
		l.in = nil
	}
	in = in[:size]
	_, err := io.ReadFull(l.conn, in)
	return in, err
}

// appendString appends a string behind its length.
func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...) //nolint:gosec // a name
}

func appendInt32s(b []byte, ns ...int32) []byte {
	for _, n := range ns {
		b = binary.BigEndian.AppendUint32(b, uint32(n)) //nolint:gosec // the same bits
	}
	return b
}

func appendInt64s(b []byte, ns ...int64) []byte {
	for _, n := range ns {
		b = binary.BigEndian.AppendUint64(b, uint64(n)) //nolint:gosec // the same bits
	}
	return b
}

// target is a partition.
type target struct {
	topic     string
	partition int32
}

func (t target) topicName() string { return t.topic }

// appendTopics appends an array of topics, each with an array of its partitions: of those in xs that stand together. part appends one.
func appendTopics[T interface{ topicName() string }](b []byte, xs []T, part func(b []byte, x T) []byte) []byte {
	b = appendInt32s(b, 0)
	topics, at := int32(0), len(b)-4
	for i := 0; i < len(xs); {
		topic, n := xs[i].topicName(), 1
		for i+n < len(xs) && xs[i+n].topicName() == topic {
			n++
		}
		topics++
		b = appendInt32s(appendString(b, topic), int32(n)) //nolint:gosec // a number of partitions
		for _, x := range xs[i : i+n] {
			b = part(b, x)
		}
		i += n
	}
	appendInt32s(b[:at], topics)
	return b
}

var errShort = errors.New("an answer or a group's metadata is cut short")

// reader reads big-endian numbers and stops at the first that isn't there.
type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.b) {
		r.err = errShort
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) int16() int16 { return int16(r.uint16()) } //nolint:gosec // the same bits
func (r *reader) int32() int32 { return int32(r.uint32()) } //nolint:gosec // the same bits

func (r *reader) int64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b)) //nolint:gosec // the same bits
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.b)
	if r.err != nil || size <= 0 {
		r.err = errShort
		return 0
	}
	r.b = r.b[size:]
	return n
}

// varint is zigzag, as in records.
func (r *reader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1) //nolint:gosec // the same bits
}

// count reads the number of things, each at least size bytes long: never more than there can be.
func (r *reader) count(size int) int {
	n := int(r.int32()) // −1 means none
	if n > len(r.b)/size {
		r.err = errShort
	}
	if r.err != nil {
		return 0
	}
	return max(n, 0)
}
