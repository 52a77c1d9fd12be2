package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"time"

	"github.com/segmentio/kafka-go/protocol"

	"github.com/streamerson/streamerson/transport"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Where things are in a record batch of version 2, the only one that brokers have written since 0.11.
const (
	batchLengthAt = 8
	batchMagicAt  = 16
	batchCRCAt    = 17
	batchAttrsAt  = 21
	batchHead     = 61
)

// appendBatch appends the messages that which names as one record batch, behind its length.
func appendBatch(b []byte, msgs []transport.Message, which []int, now time.Time) []byte {
	start := len(b)
	n := int32(len(which)) //nolint:gosec // at most some hundred
	b = append(b, 0, 0, 0, 0)
	b = appendInt64s(b, 0)             // offset: the broker's
	b = appendInt32s(b, 0, -1)         // length; epoch
	b = append(b, 2, 0, 0, 0, 0, 0, 0) // version, checksum, attributes
	b = appendInt32s(b, n-1)
	b = appendInt64s(b, now.UnixMilli(), now.UnixMilli(), -1) // first and last time; producer
	b = append(b, 0xff, 0xff)
	b = appendInt32s(b, -1, n)
	for k, i := range which {
		m := &msgs[i]
		key := int64(-1)
		if m.Key != "" {
			key = int64(len(m.Key))
		}
		var fields [4 * binary.MaxVarintLen64]byte // all that has a variable size and goes before the key
		f := append(fields[:0], 0, 0)              // attributes; time since the first
		f = binary.AppendVarint(f, int64(k))
		f = binary.AppendVarint(f, key)
		var size [binary.MaxVarintLen64]byte
		value := binary.AppendVarint(size[:0], int64(len(m.Body))) // never −1, which would be a tombstone
		b = binary.AppendVarint(b, int64(len(f)+len(m.Key)+len(value)+len(m.Body)+1))
		b = append(append(b, f...), m.Key...)
		b = append(append(b, value...), m.Body...)
		b = append(b, 0) // headers
	}
	batch := b[start+4:]
	binary.BigEndian.PutUint32(b[start:], uint32(len(batch)))                             //nolint:gosec // at most max_body
	binary.BigEndian.PutUint32(batch[batchLengthAt:], uint32(len(batch)-batchLengthAt-4)) //nolint:gosec // the same
	binary.BigEndian.PutUint32(batch[batchCRCAt:], crc32.Checksum(batch[batchAttrsAt:], castagnoli))
	return b
}

const (
	// arenaSize is how much memory small bodies share. One that its receiver keeps keeps that much.
	arenaSize = 16 << 10
	// ownSize is from where on a body has memory of its own.
	ownSize = 2 << 10
)

// arena copies bodies out of an answer's buffer.
type arena struct{ free []byte }

func (a *arena) copy(b []byte) []byte {
	n := len(b)
	switch {
	case n == 0:
		return []byte{} // nil means that there is none
	case n >= ownSize:
		return bytes.Clone(b)
	}
	if n > len(a.free) {
		a.free = make([]byte, arenaSize)
	}
	out := a.free[:n:n]
	a.free = a.free[n:]
	copy(out, b)
	return out
}

// appendRecords appends the records of a fetched partition, without those below from: a broker sends whole batches. The last
// batch may be cut short. Control records and the driver's own marks come without a body, tombstones as well.
func appendRecords(es []entry, set []byte, from int64, a *arena) ([]entry, error) {
	for len(set) > batchHead {
		size := int(int32(binary.BigEndian.Uint32(set[batchLengthAt:]))) + batchLengthAt + 4 //nolint:gosec // checked
		if size < batchHead || size > len(set) {
			return es, nil
		}
		batch := set[:size]
		set = set[size:]
		attributes := protocol.Attributes(binary.BigEndian.Uint16(batch[batchAttrsAt:])) //nolint:gosec // the same bits
		if batch[batchMagicAt] != 2 || attributes.Compression() != 0 {
			var err error
			if es, err = appendForeign(es, batch, from); err != nil {
				return es, err
			}
			continue
		}
		if crc32.Checksum(batch[batchAttrsAt:], castagnoli) != binary.BigEndian.Uint32(batch[batchCRCAt:]) {
			return es, errors.New("a record batch's checksum is wrong")
		}
		var err error
		if es, err = appendBatchRecords(es, batch, attributes, from, a); err != nil {
			return es, err
		}
	}
	return es, nil
}

func appendBatchRecords(es []entry, batch []byte, attributes protocol.Attributes, from int64, a *arena) ([]entry, error) {
	r := reader{b: batch}
	base := r.int64()
	r.take(batchAttrsAt + 2 + 4 - 8)
	first, last := r.int64(), r.int64()
	r.take(8 + 2 + 4)
	appended := attributes&8 != 0 // by the broker's clock: one time for all
	for range r.count(1) {
		rec := reader{b: r.take(int(r.varint()))}
		rec.take(1)
		e := entry{at: first + rec.varint(), offset: base + rec.varint()}
		if appended {
			e.at = last
		}
		rec.take(max(int(rec.varint()), 0)) // key
		size := int(rec.varint())
		value := rec.take(max(size, 0))
		mark := false
		if headers := rec.varint(); headers > 0 {
			mark = string(rec.take(int(rec.varint()))) == markHeader
		}
		if err := errors.Join(r.err, rec.err); err != nil {
			return es, err
		}
		if e.offset < from {
			continue
		}
		if size >= 0 && !mark && !attributes.Control() {
			e.body = a.copy(value)
		}
		es = append(es, e)
	}
	return es, r.err
}

// appendForeign reads a batch that we don't write, compressed or of an old version, by the client library.
func appendForeign(es []entry, batch []byte, from int64) ([]entry, error) {
	var set protocol.RecordSet
	framed := appendInt32s(make([]byte, 0, len(batch)+4), int32(len(batch))) //nolint:gosec // part of an answer
	if _, err := set.ReadFrom(bytes.NewReader(append(framed, batch...))); err != nil {
		return es, err
	}
	readers := []protocol.RecordReader{set.Records}
	if s, ok := set.Records.(*protocol.RecordStream); ok {
		readers = s.Records
	}
	for _, r := range readers {
		for r != nil {
			rec, err := r.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return es, err
			}
			e := entry{offset: rec.Offset, at: rec.Time.UnixMilli()}
			if rec.Key != nil {
				_ = rec.Key.Close()
			}
			if rec.Value != nil {
				e.body, err = protocol.ReadAll(rec.Value)
				_ = rec.Value.Close()
				if err != nil {
					return es, err
				}
				if e.body == nil {
					e.body = []byte{}
				}
			}
			if _, control := r.(*protocol.ControlBatch); control || len(rec.Headers) > 0 && rec.Headers[0].Key == markHeader {
				e.body = nil
			}
			if e.offset >= from {
				es = append(es, e)
			}
		}
	}
	return es, nil
}

// markHeader is on records that only show that a lane's owner lives.
const markHeader = "streamerson-mark"
