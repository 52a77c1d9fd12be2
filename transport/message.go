package transport

import (
	"fmt"
	"time"
)

// Message is what a caller publishes.
type Message struct {
	// Stream is a stream's name or, with Lane, a lane's address.
	Stream string
	// Lane marks Stream as a lane's address. A lane that is gone is CodeNotFound, and is not created; an address that no
	// driver of this kind gave out is CodeInvalid.
	Lane bool
	// Key keeps messages with the same key in order where Capabilities.OrderedByKey; "" means no order is asked for.
	Key string
	// DedupID lets a broker with Capabilities.Dedup store a message once; others ignore it.
	DedupID string
	// Body is opaque. It may be empty, and is at most Capabilities.MaxBody long (beyond: CodeTooLarge, nothing sent).
	Body []byte
}

// Outcome is what is known of a published message.
type Outcome uint8

// The three outcomes. The zero value is OutcomeUnknown, so that a forgotten result never reads as success.
const (
	// OutcomeUnknown: the connection broke or time ran out after sending; the message may or may not be stored.
	OutcomeUnknown Outcome = iota
	// OutcomeAccepted: the broker holds the message, at the durability that Capabilities names.
	OutcomeAccepted
	// OutcomeRejected: the message is not stored, for certain. Sending it again can't duplicate it.
	OutcomeRejected
)

func (o Outcome) String() string {
	switch o {
	case OutcomeAccepted:
		return "accepted"
	case OutcomeRejected:
		return "rejected"
	default:
		return "unknown"
	}
}

// Result is the outcome of one published message. Err is nil exactly when Outcome is OutcomeAccepted, and a *Error otherwise.
type Result struct {
	Outcome Outcome
	Err     error
}

// Delivery is one message given to one consumer for the length of its lease.
type Delivery struct {
	// Stream is the stream it was read from.
	Stream string
	// ID is the broker's id, unique within the stream and stable across redeliveries.
	ID string
	// Body belongs to the receiver.
	Body []byte
	// Attempt counts the deliveries of this message, this one included; crashes count. At least 1.
	Attempt int
	// Age is how long the message has been in the stream by the broker's own clock; −1 where the broker doesn't tell.
	Age time.Duration
	// Token is the driver's own; the receiver only hands it back in a Settlement.
	Token any
}

// Verb is what a settlement does.
type Verb uint8

const (
	// Ack ends the delivery. The message is done for this group.
	Ack Verb = iota + 1
	// Release gives the message back for another attempt, after Delay where Capabilities.ReleaseDelay (0 otherwise).
	Release
	// Extend starts the lease anew, without counting an attempt.
	Extend
)

// Settlement ends or extends one delivery.
type Settlement struct {
	Delivery *Delivery
	Verb     Verb
	// Reply, with Ack, is published first; the ack follows only when the broker accepted it. It carries an answer to a lane
	// or a dead letter to a stream.
	//
	// Settlements that stand next to each other in a batch may share one Reply, by the same pointer: it answers all of them.
	// It is published once, and its outcome is each one's: accepted, all are acked; failed, all get its error and none is acked.
	// A settlement that fails by itself (CodeStale, CodeInvalid) does not keep it from being published for the others.
	Reply *Message
	// Delay, with Release, is how long the message stays away.
	Delay time.Duration
}

// CheckName reports whether s may name a stream or group: 1–200 characters of [A-Za-z0-9._-], not beginning with a dot or
// a dash. The set is what Redis, Kafka and NATS all take; a dot groups names and has no meaning for a driver.
func CheckName(s string) error {
	if s == "" {
		return &Error{Code: CodeInvalid, Op: "name", Msg: "a name is empty; give 1–200 characters of A–Z a–z 0–9 . _ -"}
	}
	if len(s) > 200 {
		return &Error{Code: CodeInvalid, Op: "name", Msg: fmt.Sprintf("name %.20q… has %d characters; at most 200 are allowed", s, len(s))}
	}
	for i := range len(s) {
		c := s[i]
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || i > 0 && (c == '.' || c == '-')
		if !ok {
			return &Error{Code: CodeInvalid, Op: "name", Msg: fmt.Sprintf("name %q has %q at position %d; allowed are A–Z a–z 0–9 . _ - (not . or - first)", s, c, i)}
		}
	}
	return nil
}
