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

const flagInferred = 1

// Append encodes e behind dst and returns the longer slice, like the built-in append. It allocates only when dst is too
// short, never fails and does not keep e; see CheckLimits.
func Append(dst []byte, e *Envelope) []byte {
	var flags byte
	if e.Inferred {
		flags |= flagInferred
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

// CheckLimits reports the first part of e that a decoder would refuse as too large, by name.
func CheckLimits(e *Envelope) error {
	for _, p := range [...]struct{ name, s string }{
		{"reply address", e.ReplyTo}, {"stream", e.Stream}, {"function", e.Function}, {"content type", e.ContentType},
		{"traceparent", e.Trace}, {"tracestate", e.TraceState}, {"idempotency key", e.IdempotencyKey}, {"message", e.Message},
	} {
		if len(p.s) > MaxString {
			return &DecodeError{Reason: ReasonTooLarge, Part: p.name}
		}
	}
	if len(e.Headers) > MaxFields {
		return &DecodeError{Reason: ReasonTooLarge, Part: "header count"}
	}
	n := 0
	for _, f := range e.Headers {
		n += len(f.Name) + len(f.Value)
	}
	if n > MaxFieldBytes {
		return &DecodeError{Reason: ReasonTooLarge, Part: "headers"}
	}
	return nil
}
