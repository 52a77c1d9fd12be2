package rpc

import (
	"fmt"
	"strconv"
	"time"

	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
)

// The diagnostics headers of a dead letter. Its body is the frame as it was read: publishing that to DeadHeaderStream again
// is a replay. (A frame within 4 KiB of what the transport takes, which no client of this system sends, is cut; the error's
// text says so.)
const (
	DeadHeaderCause    = HeaderPrefix + "dead-cause"    // a DeadCause
	DeadHeaderError    = HeaderPrefix + "dead-error"    // the last error's text, at most 1 KiB
	DeadHeaderStream   = HeaderPrefix + "dead-stream"   // where it was read
	DeadHeaderGroup    = HeaderPrefix + "dead-group"    // by which group
	DeadHeaderWorker   = HeaderPrefix + "dead-worker"   // by which worker, if it has a name
	DeadHeaderEntry    = HeaderPrefix + "dead-entry"    // the broker's id of the entry
	DeadHeaderAttempts = HeaderPrefix + "dead-attempts" // how often it was delivered
	DeadHeaderTime     = HeaderPrefix + "dead-time"     // when it was given up, RFC 3339 with milliseconds
)

// deadHeadroom is what a dead letter's envelope may add to the frame that it wraps, so that every frame which fitted the
// transport still fits as a dead letter.
const deadHeadroom = 4096

// DeadLetter is a dead letter, decoded.
type DeadLetter struct {
	ID       ID
	Function string
	// Header holds the diagnostics, under the DeadHeader names.
	Header Header
	// Frame is the original, undecoded: publish it to Header's DeadHeaderStream to replay it.
	Frame []byte
}

// ParseDeadLetter decodes an entry of a dead letter stream. Frame aliases b.
func ParseDeadLetter(b []byte) (*DeadLetter, error) {
	var env wire.Envelope
	if err := wire.Decode(&env, b); err != nil {
		return nil, err
	}
	if env.Kind != wire.KindDead {
		return nil, &wire.DecodeError{Reason: wire.ReasonKind, Part: "a " + env.Kind.String() + " frame where a dead letter was expected", Offset: 1}
	}
	return &DeadLetter{ID: env.ID, Function: env.Function, Header: env.Headers, Frame: env.Body}, nil
}

// bury gives a request up: it goes to the dead letter stream, is acked once that is accepted, and its caller, if it waits,
// is told with answer.
func (s *Server) bury(h *handling, answer *Error, cause DeadCause, text string) {
	if answer != nil && h.replyTo != "" && !h.req.OneWay {
		// Best effort, ahead of the dead letter: the caller's deadline would tell it as well.
		answer.Origin = OriginRuntime
		f := encodeFrame(errorReply(h, answer)).to(h.replyTo, true)
		s.sendReply(f.msg)
		f.release()
	}
	s.entomb(h, cause, text)
	s.settle(h, transport.Ack)
}

// entomb makes the dead letter h's reply, so that the ack follows its acceptance.
func (s *Server) entomb(h *handling, cause DeadCause, text string) {
	body := h.delivery.Body
	if limit := max(s.caps.MaxBody-deadHeadroom, 0); len(body) > limit {
		// It came from a stranger: a client of ours sends no such frame. Whole it would be refused for ever.
		text = fmt.Sprintf("the frame is cut from %d to %d bytes; %s", len(body), limit, text)
		body = body[:limit]
	}
	if len(text) > maxErrorText {
		text = text[:maxErrorText]
	}
	function := h.req.Function
	if len(function) > maxErrorText {
		function = function[:maxErrorText]
	}
	env := wire.Envelope{
		Kind: wire.KindDead, ID: h.req.ID, Function: function, Attempt: uint16(min(h.delivery.Attempt, 1<<16-1)), Body: body,
		Headers: Header{
			{Name: DeadHeaderCause, Value: string(cause)}, {Name: DeadHeaderError, Value: text},
			{Name: DeadHeaderStream, Value: h.delivery.Stream}, {Name: DeadHeaderGroup, Value: s.cfg.Group},
			{Name: DeadHeaderWorker, Value: s.cfg.Name}, {Name: DeadHeaderEntry, Value: h.delivery.ID},
			{Name: DeadHeaderAttempts, Value: strconv.Itoa(h.delivery.Attempt)},
			{Name: DeadHeaderTime, Value: time.Now().UTC().Format("2006-01-02T15:04:05.000Z")},
		},
	}
	h.dropReply()
	h.reply = encodeFrame(&env).to(DeadStream(h.delivery.Stream), false)
	h.dead = cause
}

// errorReply is the reply frame for an error that the runtime found.
func errorReply(h *handling, e *Error) *wire.Envelope {
	env := &wire.Envelope{
		Kind: wire.KindReply, ID: h.req.ID, Attempt: uint16(min(h.delivery.Attempt, 1<<16-1)), QueueMicros: saturatedMicros(h.req.Queued),
	}
	setError(env, e)
	return env
}
