package wire

import "encoding/binary"

// fixedLen is the length of the part at fixed offsets: see SPEC.md.
const fixedLen = 48

// The field tags. Tag 0 ends the fields; the body is all that follows it.
const (
	tagBody byte = iota
	tagReplyTo
	tagStream
	tagFunction
	tagContentType
	tagTrace
	tagTraceState
	tagIdempotencyKey
	tagMessage
	tagHeader
	tagCount
)

// tagOptional is the first of the tags that a decoder skips when it doesn't know them, so that a later encoder can add what
// an older decoder may do without. None is defined yet.
const tagOptional byte = 128

// The flag bits.
const (
	flagInferred = 1 << iota
	flagPacks
)

// Append encodes e behind dst and returns the longer slice, like the built-in append. It allocates only when dst is too
// short, never fails and does not keep e; see CheckLimits.
func Append(dst []byte, e *Envelope) []byte {
	var flags byte
	if e.Inferred {
		flags |= flagInferred
	}
	if e.Packs {
		flags |= flagPacks
	}
	dst = append(dst, Version, byte(e.Kind), byte(e.Code), flags)
	dst = binary.BigEndian.AppendUint16(dst, e.Status)
	dst = binary.BigEndian.AppendUint16(dst, e.Attempt)
	dst = append(dst, e.ID[:]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.Deadline))
	dst = binary.BigEndian.AppendUint32(dst, e.Budget)
	dst = binary.BigEndian.AppendUint32(dst, e.QueueMicros)
	dst = binary.BigEndian.AppendUint32(dst, e.HandlerMicros)
	dst = append(dst, 0, 0, 0, 0)
	dst = appendString(dst, tagReplyTo, e.ReplyTo)
	dst = appendString(dst, tagStream, e.Stream)
	dst = appendString(dst, tagFunction, e.Function)
	dst = appendString(dst, tagContentType, e.ContentType)
	dst = appendString(dst, tagTrace, e.Trace)
	dst = appendString(dst, tagTraceState, e.TraceState)
	dst = appendString(dst, tagIdempotencyKey, e.IdempotencyKey)
	dst = appendString(dst, tagMessage, e.Message)
	for i := range e.Headers {
		f := &e.Headers[i]
		dst = append(dst, tagHeader)
		dst = binary.AppendUvarint(dst, uint64(len(f.Name)))
		dst = append(dst, f.Name...)
		dst = binary.AppendUvarint(dst, uint64(len(f.Value)))
		dst = append(dst, f.Value...)
	}
	dst = append(dst, tagBody)
	return append(dst, e.Body...)
}

func appendString(dst []byte, tag byte, s string) []byte {
	if s == "" {
		return dst
	}
	dst = append(dst, tag)
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// CheckLimits reports the first part of e that a decoder would refuse as too large, by name, as a *DecodeError. A good
// envelope costs no allocation.
func CheckLimits(e *Envelope) error {
	for tag := tagReplyTo; tag < tagHeader; tag++ {
		if len(*e.field(tag)) > MaxString {
			return &DecodeError{ReasonTooLarge, tagNames[tag], -1}
		}
	}
	n := 0
	for i := range e.Headers {
		n += len(e.Headers[i].Name) + len(e.Headers[i].Value)
	}
	if len(e.Headers) > MaxFields || n > MaxFieldBytes {
		return &DecodeError{ReasonTooLarge, tagNames[tagHeader], -1}
	}
	return nil
}

// Size is the length of e when encoded. Lengths below 128 take one byte each; it may be up to 4 bytes a field too large.
func Size(e *Envelope) int {
	const perField = 6
	n := fixedLen + 1 + len(e.Body)
	for _, s := range [...]string{e.ReplyTo, e.Stream, e.Function, e.ContentType, e.Trace, e.TraceState, e.IdempotencyKey, e.Message} {
		n += perField + len(s)
	}
	for i := range e.Headers {
		n += 2*perField + len(e.Headers[i].Name) + len(e.Headers[i].Value)
	}
	return n
}
