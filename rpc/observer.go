package rpc

import "time"

// Observer is told what happens, for metrics. Its methods are called on hot paths from many goroutines: they must not block
// and must not keep their arguments. Embed NopObserver to implement a part of it.
type Observer interface {
	// CallStart and CallDone bracket a call of a client; err is nil or an *Error.
	CallStart(stream, function string)
	CallDone(stream, function string, t Timing, err error)
	// HandleStart and HandleDone bracket a handler's run.
	HandleStart(stream, function string)
	HandleDone(stream, function string, queued, took time.Duration, code Code)
	// ReplyDropped: a reply that nobody waited for came to the client.
	ReplyDropped(why ReplyDrop)
	// Expired: a request's deadline had passed in the queue, or its caller had gone: it was settled unrun.
	Expired(stream string, why ExpireReason)
	// Redelivered: a request came with an attempt above 1. Duplicate: its id was already running or done here.
	Redelivered(stream string)
	Duplicate(stream string)
	// DeadLettered: a request went to the dead letter stream.
	DeadLettered(stream string, cause DeadCause)
	// LeaseLost: a running request was taken over by another worker.
	LeaseLost(stream string)
	// Batch: n items were handed to the driver in one call; kind is "publish" or "settle".
	Batch(kind string, n int)
	// Slots: how many of a stream's handlers run now.
	Slots(stream string, inUse int)
}

// ReplyDrop says why a reply was dropped.
type ReplyDrop string

// The reasons. A client remembers recent ids, in a bounded window, to tell the first two from the third.
const (
	DropLate      ReplyDrop = "late"      // its call had timed out or was cancelled
	DropDuplicate ReplyDrop = "duplicate" // its call was answered before
	DropUnknown   ReplyDrop = "unknown"   // no such call, or long ago
	DropBad       ReplyDrop = "bad"       // can't be decoded
)

// ExpireReason says why a request was settled unrun.
type ExpireReason string

// The reasons.
const (
	ExpireDeadline ExpireReason = "deadline"
	ExpireCanceled ExpireReason = "canceled"
)

// DeadCause says why a request was given up.
type DeadCause string

// The causes.
const (
	DeadUndecodable DeadCause = "undecodable"  // the frame is not an envelope
	DeadCrashes     DeadCause = "crashes"      // its workers died MaxAttempts times
	DeadFailed      DeadCause = "failed"       // a one-way message failed after its last retry
	DeadNoFunction  DeadCause = "no-function"  // a one-way message names a function that is not served here
	DeadExpired     DeadCause = "expired"      // a one-way message's deadline passed
	DeadWrongKind   DeadCause = "wrong-kind"   // a reply or cancel on a request stream
	DeadBadReplyTo  DeadCause = "bad-reply-to" // the reply address is not a lane
)

// NopObserver does nothing.
type NopObserver struct{}

// The methods of Observer, each doing nothing.
func (NopObserver) CallStart(string, string)                                      {}
func (NopObserver) CallDone(string, string, Timing, error)                        {}
func (NopObserver) HandleStart(string, string)                                    {}
func (NopObserver) HandleDone(string, string, time.Duration, time.Duration, Code) {}
func (NopObserver) ReplyDropped(ReplyDrop)                                        {}
func (NopObserver) Expired(string, ExpireReason)                                  {}
func (NopObserver) Redelivered(string)                                            {}
func (NopObserver) Duplicate(string)                                              {}
func (NopObserver) DeadLettered(string, DeadCause)                                {}
func (NopObserver) LeaseLost(string)                                              {}
func (NopObserver) Batch(string, int)                                             {}
func (NopObserver) Slots(string, int)                                             {}
