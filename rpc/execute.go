package rpc

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
)

// skewAllowed is how far two machines' clocks may differ before a request expires wrongly, where the broker's clock does not
// decide.
const skewAllowed = 5 * time.Second

// run takes one delivery from its arrival to its settlement.
func (s *Server) run(h *handling) {
	h.waited = time.Since(h.received)
	if h.suspect {
		defer s.suspects.leave(h)
	}
	if h.delivery.Attempt > 1 {
		s.cfg.Observer.Redelivered(h.stream.cfg.Name)
	}
	kind, ok := s.open(h)
	switch {
	case !ok:
		return
	case kind == wire.KindRequests:
		s.runPack(h)
		return
	case kind == wire.KindSend && h.member(): // a failed one is given back, which a member can't be
		s.publishAgain(h)
		return
	}
	switch seen := s.dedup.begin(h); seen {
	case seenAgain, seenRunning, seenDone:
		s.duplicate(h, seen)
		return
	case seenCanceled:
		s.cfg.Observer.Expired(h.stream.cfg.Name, ExpireCanceled)
		s.settle(h, transport.Ack)
		return
	}
	if h.delivery.Attempt > s.maxAttempts(h) { // and does not run here, which would be no reason to give it up
		s.bury(h, &Error{Code: CodeAborted, Message: fmt.Sprintf("given up after %d attempts", h.delivery.Attempt-1)}, DeadCrashes, "its workers died or lost it each time")
		return
	}
	if !h.deadline.IsZero() && !h.received.Add(h.waited).Before(h.deadline) {
		h.ran = true
		s.cfg.Observer.Expired(h.stream.cfg.Name, ExpireDeadline)
		if h.req.OneWay {
			s.bury(h, nil, DeadExpired, "its deadline passed in the queue")
			return
		}
		s.settle(h, transport.Ack)
		return
	}
	handler := s.handlers[h.req.Function]
	if handler == nil {
		handler = s.fallback
	}
	if handler == nil {
		msg := "no handler for function " + strconv.Quote(h.req.Function) + " on stream " + h.stream.cfg.Name
		if h.req.OneWay {
			s.bury(h, nil, DeadNoFunction, msg)
			return
		}
		s.answer(h, nil, &Error{Code: CodeUnimplemented, Message: msg, Origin: OriginRuntime})
		return
	}
	if h.suspect {
		s.awaitTurn(h)
	}
	s.cfg.Observer.HandleStart(h.stream.cfg.Name, h.req.Function)
	returned := false
	defer func() {
		if !returned { // runtime.Goexit, which t.FailNow calls: it must not keep the slot and the lease for ever
			s.handled(h, nil, &Error{Code: CodeInternal, Message: "the handler ended its goroutine", Origin: OriginRuntime})
		}
	}()
	resp, err := s.invoke(handler, h)
	returned = true
	s.handled(h, resp, err)
}

// open fills h from its envelope. It gives up what is no request and reports that as false.
func (s *Server) open(h *handling) (kind wire.Kind, ok bool) {
	var env wire.Envelope
	if err := s.fields.Decode(&env, h.delivery.Body); err != nil {
		s.bury(h, nil, DeadUndecodable, err.Error())
		return 0, false
	}
	h.fill(&env)
	switch {
	case env.ID.IsZero(): // all such would be taken for one request
		s.bury(h, nil, DeadUndecodable, "the frame has no id")
		return 0, false
	case env.Kind == wire.KindRequest, env.Kind == wire.KindSend, env.Kind == wire.KindRequests && !h.member():
		return env.Kind, true
	}
	s.bury(h, nil, DeadWrongKind, "a "+env.Kind.String()+" frame on a request stream")
	return 0, false
}

// duplicate ends a delivery whose id runs here or has run.
func (s *Server) duplicate(h *handling, seen sighting) {
	s.cfg.Observer.Duplicate(h.stream.cfg.Name)
	if seen == seenAgain { // its handling has adopted it
		s.forget(h)
		return
	}
	s.settle(h, transport.Ack)
}

// handled is the end of a handler.
func (s *Server) handled(h *handling, resp *Response, err error) {
	h.took = time.Since(h.received) - h.waited
	s.cfg.Observer.HandleDone(h.stream.cfg.Name, h.req.Function, h.req.Queued, h.took, answerCode(err))
	cause := h.ended()
	h.end(context.Canceled) // frees what the handler's context holds
	s.conclude(h, resp, err, cause)
}

// maxAttempts leaves a one-way message all its retries.
func (s *Server) maxAttempts(h *handling) int {
	if h.req.OneWay {
		return max(s.cfg.MaxAttempts, len(s.cfg.RetryDelays)+1)
	}
	return s.cfg.MaxAttempts
}

// fill takes over what the envelope says.
func (h *handling) fill(env *wire.Envelope) {
	stream := env.Stream
	if stream == "" {
		stream = h.delivery.Stream
	}
	h.req = Request{
		ID: env.ID, Stream: stream, Function: env.Function, Header: env.Headers, ContentType: env.ContentType, Body: env.Body,
		IdempotencyKey: env.IdempotencyKey, Trace: env.Trace, TraceState: env.TraceState,
		OneWay: env.Kind == wire.KindSend, Attempt: h.delivery.Attempt,
	}
	h.replyTo, h.packs = env.ReplyTo, env.Packs
	budget := time.Duration(env.Budget) * time.Millisecond
	if h.delivery.Age >= 0 {
		// The broker's clock measured the wait: no two clocks are compared.
		h.req.Queued = h.delivery.Age + h.waited
		if env.Deadline != 0 {
			h.deadline = h.received.Add(budget - h.delivery.Age)
		}
		return
	}
	if env.Deadline != 0 {
		deadline := time.UnixMilli(env.Deadline)
		h.req.Queued = max(time.Since(deadline.Add(-budget)), 0)
		h.deadline = h.received.Add(min(budget, time.Until(deadline.Add(skewAllowed))))
	}
}

// invoke runs the handler; a panic becomes an error and the worker lives on.
func (s *Server) invoke(f Handler, h *handling) (resp *Response, err error) {
	defer func() {
		if p := recover(); p != nil {
			resp, err = nil, &Error{Code: CodeInternal, Message: "the handler panicked", Origin: OriginRuntime, Err: fmt.Errorf("panic: %v", p)}
			s.logPanic.Do(func() {
				s.cfg.Logger.Error("a handler panicked", "stream", h.stream.cfg.Name, "function", h.req.Function, "id", h.req.ID, "panic", p, "stack", string(debug.Stack()))
			})
		}
	}()
	if resp, err = f(h, &h.req); err != nil {
		_ = err.Error() // a nil pointer in it panics here, where it can be caught, and not where the reply is made
	}
	return resp, err
}

// conclude decides what becomes of a request whose handler has returned.
func (s *Server) conclude(h *handling, resp *Response, err error, cause error) {
	back := false
	if errors.Is(cause, ErrLeaseLost) {
		if owner := h.owner(); s.dedup.abandon(owner, owner.lostDelivery()) {
			// Another worker has it and will answer; a zombie's reply would only be dropped.
			s.forget(h)
			return
		}
		back = true
	}
	switch {
	case back && err != nil && s.caps.Release: // for want of its context, perhaps
		s.settle(h, transport.Release)
	case errors.Is(cause, ErrDraining) && err != nil && s.caps.Release:
		s.settle(h, transport.Release)
	case h.req.OneWay && err != nil:
		s.retry(h, err)
	case h.req.OneWay || errors.Is(cause, ErrCallerGone):
		h.ran = true
		s.settle(h, transport.Ack)
	default:
		h.ran = true
		s.answer(h, resp, err)
	}
}

// retry gives a failed one-way message back for later, or up.
func (s *Server) retry(h *handling, err error) {
	n := h.delivery.Attempt
	if n > len(s.cfg.RetryDelays) || !s.caps.Release { // without that a delivery can't come again
		s.bury(h, nil, DeadFailed, err.Error())
		return
	}
	delay := s.cfg.RetryDelays[n-1]
	if s.caps.ReleaseDelay {
		h.delay = delay
		s.settle(h, transport.Release)
		return
	}
	// The body is needed no more: the broker has it.
	h.delivery.Body, h.req.Body, h.req.Header = nil, nil, nil
	s.slots.free(h.stream)
	s.slots.settled(1)
	h.slotless = true
	s.parked.add(h, delay)
}

// unpark releases what waited for its next attempt.
func (s *Server) unpark(h *handling) { s.settle(h, transport.Release) }

// answer settles a request with its reply.
func (s *Server) answer(h *handling, resp *Response, err error) {
	if h.replyTo == "" {
		s.settle(h, transport.Ack)
		return
	}
	env := wire.Envelope{
		Kind: wire.KindReply, ID: h.req.ID, Attempt: uint16(min(h.delivery.Attempt, 1<<16-1)),
		QueueMicros: saturatedMicros(h.req.Queued), HandlerMicros: saturatedMicros(h.took),
	}
	if err == nil && resp != nil && (resp.Status < 0 || resp.Status > 999) {
		err = &Error{Code: CodeInternal, Message: "the handler's status " + strconv.Itoa(resp.Status) + " is not an HTTP status", Origin: OriginRuntime}
	}
	if err != nil {
		setError(&env, err)
	} else if resp != nil {
		env.Status, env.ContentType, env.Headers, env.Body = uint16(resp.Status), resp.ContentType, resp.Header, resp.Body
	}
	if bad := wire.CheckLimits(&env); bad != nil {
		env.Headers, env.Body, env.ContentType, env.Status = nil, nil, "", 0
		setError(&env, &Error{Code: CodeInternal, Message: "the reply is not sendable: " + bad.Error(), Origin: OriginRuntime})
	}
	h.reply = encodeFrame(&env)
	s.settle(h, transport.Ack)
}

// answerCode is what a handler's error is answered as: a plain one is the service's fault.
func answerCode(err error) Code {
	if c := CodeOf(err); c != CodeUnknown {
		return c
	}
	return CodeInternal
}

// maxErrorText bounds an error's text in a reply or dead letter, in bytes.
const maxErrorText = 1024

func setError(env *wire.Envelope, err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok || e == nil {
		e = &Error{Code: answerCode(err), Message: err.Error(), Origin: OriginHandler}
	}
	env.Code, env.Message, env.Headers = e.Code, e.Message, e.Header
	if env.Code == CodeOK || !env.Code.Valid() {
		env.Code = CodeUnknown
	}
	if len(env.Message) > maxErrorText {
		env.Message = env.Message[:maxErrorText]
	}
	env.Inferred = e.Origin == OriginRuntime
	if e.RetryAfter > 0 {
		env.Headers = append(env.Headers[:len(env.Headers):len(env.Headers)], Field{Name: headerRetryAfter, Value: strconv.FormatInt(e.RetryAfter.Milliseconds(), 10)})
	}
}
