package wire

import (
	"encoding/hex"
	"errors"
	"strings"
)

// Version is the first byte of every envelope. A decoder refuses any other.
const Version = 1

// Limits of a valid envelope; the encoder does not check them, CheckLimits and the decoder do. The body has no limit of its
// own: the transport's holds for the whole frame.
const (
	// MaxString bounds each of ReplyTo, Stream, Function, ContentType, Trace, TraceState, IdempotencyKey and Message, in bytes.
	MaxString = 8 << 10
	// MaxFields bounds the number of header fields, MaxFieldBytes their names and values together.
	MaxFields     = 256
	MaxFieldBytes = 64 << 10
)

// HeaderSliceMax is the most that Decode allocates for a header slice, in bytes: 8 KiB for MaxFields fields of two strings
// each, which Go's allocator rounds up to 9,472.
const HeaderSliceMax = 9_472

// ID identifies one request, for its whole life: 128 random bits.
type ID [16]byte

// String is the id in 32 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether the id was never set.
func (id ID) IsZero() bool { return id == ID{} }

// ParseID reads what String wrote.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 32 {
		return id, errors.New("wire: an id is 32 hexadecimal digits")
	}
	_, err := hex.Decode(id[:], []byte(s))
	return id, err
}

// Kind says what an envelope is.
type Kind uint8

// The kinds.
const (
	// KindRequest asks for one reply, at ReplyTo.
	KindRequest Kind = iota + 1
	// KindSend is a one-way message: no reply, retried, then dead-lettered.
	KindSend
	// KindReply answers the request with the same ID.
	KindReply
	// KindCancel says that nobody waits for the request with this ID any more.
	KindCancel
	// KindDead wraps a frame that was given up; Body is the frame as it was read, Headers the diagnostics.
	KindDead
	// KindReplies carries several replies to one lane: see Unpack.
	KindReplies
	// KindRequests carries several requests of one caller to one stream: see Unpack.
	KindRequests
	kindCount
)

func (k Kind) String() string {
	switch k {
	case KindRequest:
		return "request"
	case KindSend:
		return "send"
	case KindReply:
		return "reply"
	case KindCancel:
		return "cancel"
	case KindDead:
		return "dead"
	case KindReplies:
		return "replies"
	case KindRequests:
		return "requests"
	default:
		return "unknown"
	}
}

// Field is one header field. Names compare without regard to case; order and repetition are kept.
type Field struct{ Name, Value string }

// Header is an ordered list of fields.
type Header []Field

// Get returns the first value of name, or "".
func (h Header) Get(name string) string {
	for i := range h {
		if strings.EqualFold(h[i].Name, name) {
			return h[i].Value
		}
	}
	return ""
}

// Set returns h with name's first field replaced, any further ones removed, or the field appended. It may change h's array.
func (h Header) Set(name, value string) Header {
	out, done := h[:0], false
	for _, f := range h {
		switch {
		case !strings.EqualFold(f.Name, name):
			out = append(out, f)
		case !done:
			out, done = append(out, Field{f.Name, value}), true
		}
	}
	if !done {
		out = append(out, Field{name, value})
	}
	return out
}

// Envelope is one decoded message.
type Envelope struct {
	Kind Kind
	// Code is the result of a reply (CodeOK …), 0 elsewhere.
	Code Code
	// Inferred, in a reply: the worker's runtime made this answer (no such function, panic, expired), not the handler.
	Inferred bool
	// Packs, in a request: who reads the lane at ReplyTo takes frames of KindReplies.
	Packs bool
	// Status is an HTTP status that the handler chose, 0 when there is none.
	Status uint16
	// Attempt is the sender's own count, 1 for the first; redeliveries by the broker are not counted here.
	Attempt uint16
	ID      ID
	// Deadline is when the caller stops waiting, in Unix milliseconds by the caller's clock; 0 is none.
	Deadline int64
	// Budget is what was left of it when the message was published, in milliseconds: with the broker's own age of the
	// entry it decides expiry without comparing two clocks. 0 with a Deadline means that it had run out already.
	Budget uint32
	// QueueMicros and HandlerMicros, in a reply: time in the stream and in the handler, saturating at 2³²−1 (71 minutes).
	QueueMicros, HandlerMicros uint32

	ReplyTo        string // lane address
	Stream         string // where it was published first
	Function       string
	ContentType    string
	Trace          string // W3C traceparent
	TraceState     string // W3C tracestate
	IdempotencyKey string
	Message        string // an error's text, in a reply
	Headers        Header
	Body           []byte
}
