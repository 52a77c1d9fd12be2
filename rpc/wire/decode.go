package wire

import (
	"encoding/binary"
	"fmt"
)

// Reason says why a frame can't be decoded.
type Reason string

// The reasons.
const (
	ReasonShort    Reason = "short"     // ends inside a part
	ReasonLength   Reason = "length"    // a length that is not in its shortest form, or beyond 64 bits
	ReasonVersion  Reason = "version"   // a version this decoder doesn't know
	ReasonKind     Reason = "kind"      // a kind outside the set
	ReasonCode     Reason = "code"      // a code outside the set
	ReasonTag      Reason = "tag"       // a field tag outside the set
	ReasonTooLarge Reason = "too-large" // a part beyond its limit
	ReasonTwice    Reason = "twice"     // a field that may stand once stands twice
)

// DecodeError is what Decode returns for a bad frame.
type DecodeError struct {
	Reason Reason
	// Part names the field; Offset is where in the frame, −1 when it doesn't apply.
	Part   string
	Offset int
}

func (e *DecodeError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("wire: %s: %s", e.Part, e.Reason)
	}
	return fmt.Sprintf("wire: bad frame at byte %d: %s: %s", e.Offset, e.Part, e.Reason)
}

var tagNames = [tagCount]string{
	"body", "reply address", "stream", "function", "content type", "traceparent", "tracestate", "idempotency key", "message", "header",
}

// Decode reads b into e, which it overwrites whole, reusing e.Headers' array: a caller that keeps Headers beyond the next
// Decode into the same e must copy it. e.Body aliases b (with no spare capacity, so that an append copies); the strings are
// copies, all cut from one, so that one kept string keeps all of them. For a good frame it allocates at most twice: the
// strings, shorter than b, and, when e.Headers is too small, the header slice, at most HeaderSliceMax bytes; together less
// than 2·len(b) + HeaderSliceMax. It never panics. Errors are *DecodeError, and e is then empty. It may be called
// concurrently on different envelopes.
func Decode(e *Envelope, b []byte) error { return (*Cache)(nil).Decode(e, b) }

// Decode is the function Decode, but the strings may be shared with those of equal frames before, which spares the copy.
func (c *Cache) Decode(e *Envelope, b []byte) error {
	headers := e.Headers[:0]
	*e = Envelope{Headers: headers}
	if err := checkFixed(b); err != nil {
		return err
	}
	fieldsEnd, count, err := scan(b)
	if err != nil {
		return err
	}
	e.Kind, e.Code, e.Inferred, e.Packs = Kind(b[1]), Code(b[2]), b[3]&flagInferred != 0, b[3]&flagPacks != 0
	e.Status, e.Attempt = binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:])
	copy(e.ID[:], b[8:24])
	e.Deadline = int64(binary.BigEndian.Uint64(b[24:]))
	e.Budget = binary.BigEndian.Uint32(b[32:])
	e.QueueMicros, e.HandlerMicros = binary.BigEndian.Uint32(b[36:]), binary.BigEndian.Uint32(b[40:])
	e.Body = b[fieldsEnd+1 : len(b) : len(b)]
	if cap(headers) < count {
		headers = make(Header, 0, count)
	}
	s := c.text(b[fixedLen:fieldsEnd])
	for p := 0; p < len(s); {
		tag := s[p]
		v, next := cut(s, p+1)
		switch {
		case tag == tagHeader:
			var value string
			value, next = cut(s, next)
			headers = append(headers, Field{v, value})
		case tag < tagCount:
			*e.field(tag) = v
		}
		p = next
	}
	e.Headers = headers
	return nil
}

// checkFixed checks the fixed header.
func checkFixed(b []byte) error {
	if len(b) == 0 {
		return &DecodeError{ReasonShort, "fixed header", 0}
	}
	// The version comes first, so that a newer, shorter or longer frame is named as such.
	if b[0] != Version {
		return &DecodeError{ReasonVersion, fmt.Sprintf("version %d", b[0]), 0}
	}
	if len(b) < fixedLen {
		return &DecodeError{ReasonShort, "fixed header", len(b)}
	}
	if k := Kind(b[1]); k == 0 || k >= kindCount {
		return &DecodeError{ReasonKind, fmt.Sprintf("kind %d", k), 1}
	}
	if !Code(b[2]).Valid() {
		return &DecodeError{ReasonCode, fmt.Sprintf("code %d", b[2]), 2}
	}
	return nil
}

// scan checks every field and returns the offset of the tag that ends them and the number of header fields.
func scan(b []byte) (end, headers int, err error) {
	var seen [tagCount]bool
	fields, fieldBytes := 0, 0 // of headers and optional fields, which share their limits
	p := fixedLen
	for {
		if p >= len(b) {
			return 0, 0, &DecodeError{ReasonShort, "fields", p}
		}
		tag := b[p]
		if tag == tagBody {
			return p, headers, nil
		}
		if tag >= tagCount && tag < tagOptional {
			return 0, 0, &DecodeError{ReasonTag, fmt.Sprintf("tag %d", tag), p}
		}
		start := p
		n, next, err := span(b, p+1, tag)
		if err != nil {
			return 0, 0, err
		}
		if tag < tagHeader {
			if n > MaxString {
				return 0, 0, &DecodeError{ReasonTooLarge, tagName(tag), start}
			}
			if seen[tag] {
				return 0, 0, &DecodeError{ReasonTwice, tagName(tag), start}
			}
			seen[tag] = true
			p = next
			continue
		}
		if tag == tagHeader {
			headers++
			var m int
			if m, next, err = span(b, next, tag); err != nil {
				return 0, 0, err
			}
			n += m
		}
		fields++
		if fieldBytes += n; fields > MaxFields || fieldBytes > MaxFieldBytes {
			return 0, 0, &DecodeError{ReasonTooLarge, tagName(tag), start}
		}
		p = next
	}
}

// span reads a length at p ≤ len(b) and returns it with the offset behind the bytes it counts. Only the shortest form of a
// length is taken, so that equal envelopes can't hide behind different bytes.
func span(b []byte, p int, tag byte) (n, next int, err error) {
	n, next, reason := measure(b, p)
	if reason != "" {
		return 0, 0, &DecodeError{reason, tagName(tag), p}
	}
	return n, next, nil
}

func measure(b []byte, p int) (n, next int, bad Reason) {
	u, w := binary.Uvarint(b[p:])
	switch {
	case w == 0:
		return 0, 0, ReasonShort
	case w < 0 || w > 1 && b[p+w-1] == 0:
		return 0, 0, ReasonLength
	case u > uint64(len(b)-p-w): // compared as 64 bits: int(u) may overflow where int has 32
		return 0, 0, ReasonShort
	}
	return int(u), p + w + int(u), ""
}

func tagName(tag byte) string {
	if tag < tagCount {
		return tagNames[tag]
	}
	return fmt.Sprintf("optional field %d", tag)
}

// cut returns the string whose length stands at p, which scan has checked, and the offset behind it.
func cut(s string, p int) (string, int) {
	n, shift := 0, 0
	for {
		c := s[p]
		p++
		n |= int(c&0x7f) << shift
		if c < 0x80 {
			return s[p : p+n], p + n
		}
		shift += 7
	}
}

func (e *Envelope) field(tag byte) *string {
	switch tag {
	case tagReplyTo:
		return &e.ReplyTo
	case tagStream:
		return &e.Stream
	case tagFunction:
		return &e.Function
	case tagContentType:
		return &e.ContentType
	case tagTrace:
		return &e.Trace
	case tagTraceState:
		return &e.TraceState
	case tagIdempotencyKey:
		return &e.IdempotencyKey
	default:
		return &e.Message
	}
}
