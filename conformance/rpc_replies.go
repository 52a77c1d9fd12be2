package conformance

import (
	"context"
	"strings"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
)

// Rule: a call whose handler takes longer than its time ends at its deadline with deadline exceeded; the reply that comes
// later is dropped and counted as late; the client serves its next call.
func lateReply(s *system) {
	s.local(nil)
	c, seen := s.client(nil)
	const timeout = patience / 10
	got := s.within(timeout, s.later(c, s.request(fnEffect, "slow "+s.millis(3*timeout), timeout)))
	if rpc.CodeOf(got.err) != rpc.CodeDeadlineExceeded {
		s.Errorf("got %v, want deadline exceeded", got)
	}
	s.until(patience, "the late reply to be counted", func() bool { return seen.get("reply-late") == 1 })
	if got := s.call(c, s.request(fnEffect, "next", patience)); got.err != nil || string(got.resp.Body) != "next" {
		s.Errorf("the next call: %v", got)
	}
	if n := seen.sum("reply-"); n != 1 {
		s.Errorf("dropped replies: %v, want one late one", seen)
	}
}

// impostor is a member of the group that sees the envelopes itself: it reads one request and returns it with its envelope.
// It works on drivers of its own, outside of the books: it makes answers that no handler gave.
func (s *system) impostor() (transport.Driver, func() *wire.Envelope) {
	s.Helper()
	d := s.open()
	s.ensure(d, transport.StreamSpec{Stream: s.stream, Groups: []string{rpc.DefaultGroup}})
	c := s.join(d, rpc.DefaultGroup, longLease)
	s.nothing(c, quiet, s.stream) // the group counts it as live from its first Receive on
	return d, func() *wire.Envelope {
		s.Helper()
		x := s.receive(c, 1, s.stream)[0]
		env := &wire.Envelope{}
		if err := wire.Decode(env, x.Body); err != nil {
			s.Fatalf("a client's request can't be read: %v", err)
		}
		s.ack(c, x)
		return env
	}
}

func replyFrame(id rpc.ID, body string) []byte {
	return wire.Append(nil, &wire.Envelope{Kind: wire.KindReply, ID: id, Attempt: 1, Body: []byte(body)})
}

// plain makes a client outside of the books.
func (s *system) plain() (*rpc.Client, *counts) {
	s.Helper()
	return s.clientOn(s.open(), nil)
}

// Rule: of three replies to one call, two of them different, the caller gets the first, once; the others are dropped and counted
// as duplicates.
func duplicateReply(s *system) {
	d, next := s.impostor()
	c, seen := s.plain()
	called := s.later(c, s.request(fnEcho, "x", 2*patience))
	env := next()
	s.send1(d, env.ReplyTo, replyFrame(env.ID, "first"))
	s.send1(d, env.ReplyTo, replyFrame(env.ID, "second"))
	s.send1(d, env.ReplyTo, replyFrame(env.ID, "second"))
	if got := s.within(patience, called); got.err != nil || string(got.resp.Body) != "first" {
		s.Errorf("got %v, want the first reply", got)
	}
	s.until(patience, "two duplicates to be counted", func() bool { return seen.get("reply-duplicate") == 2 })
	if n := seen.sum("reply-"); n != 2 {
		s.Errorf("dropped replies: %v, want two duplicates", seen)
	}
}

// send1 publishes one frame to a lane.
func (s *system) send1(d transport.Driver, lane string, frame []byte) {
	s.Helper()
	s.Env.send(d, transport.Message{Stream: lane, Lane: true, Body: frame})
}

// Rule: what comes on a client's lane and is no reply to one of its calls (another's id, garbage, nothing at all, a request)
// is dropped and counted; the true reply, which comes after all that, is the answer.
func forgedReply(s *system) {
	d, next := s.impostor()
	c, seen := s.plain()
	called := s.later(c, s.request(fnEcho, "x", 2*patience))
	env := next()
	request := wire.Append(nil, &wire.Envelope{Kind: wire.KindRequest, ID: env.ID, Attempt: 1, Function: fnEcho, Body: []byte("forged")})
	broken := replyFrame(env.ID, "forged")
	broken[0] = 99 // a version that doesn't exist
	for _, frame := range [][]byte{replyFrame(rpc.NewID(), "forged"), []byte("garbage"), nil, request, broken} {
		s.send1(d, env.ReplyTo, frame)
	}
	s.send1(d, env.ReplyTo, replyFrame(env.ID, "true"))
	if got := s.within(patience, called); got.err != nil || string(got.resp.Body) != "true" {
		s.Errorf("got %v, want the true reply", got)
	}
	if unknown, bad := seen.get("reply-"+string(rpc.DropUnknown)), seen.get("reply-"+string(rpc.DropBad)); unknown != 1 || bad != 4 {
		s.Errorf("dropped replies: %v, want one unknown and four bad ones", seen)
	}
}

// Rule: a request whose reply address is no lane of this transport becomes a dead letter with cause "bad-reply-to" and a text, and
// its answer goes nowhere, in particular not to the stream that the address names; one whose lane is gone is settled
// without a reply; the worker serves on.
func forgedReplyTo(s *system) {
	w := s.local(nil)
	c, _ := s.client(nil)
	victim := s.stream + ".victim"
	s.ensure(s.admin, transport.StreamSpec{Stream: victim, Groups: []string{"victims"}})
	reader := s.join(s.admin, "victims", longLease)
	s.nothing(reader, quiet, victim)
	forged := func(replyTo string) []byte {
		return s.frame(wire.KindRequest, &wire.Envelope{ReplyTo: replyTo, Function: fnEcho, Body: []byte("evil")})
	}
	gone := s.tail(s.admin, transport.TailSpec{Name: "gone"})
	ctx, cancel := s.ctx(patience)
	defer cancel()
	if err := gone.Close(ctx); err != nil {
		s.Fatalf("closing a lane: %v", err)
	}
	bad := []string{victim, s.stream, "new", "a b", "~", "~a b", strings.Repeat("x", 300)}
	for _, to := range bad {
		s.raw(forged(to))
	}
	s.raw(forged(gone.Address()))
	s.until(2*patience, "all to be dead letters", func() bool { return len(s.deadLetters()) >= len(bad) })
	if got := s.call(c, s.request(fnEcho, "alive", 2*patience)); got.err != nil || string(got.resp.Body) != "alive" {
		s.Errorf("the worker doesn't serve any more: %v", got)
	}
	for _, l := range s.deadLetters() {
		if l.Header.Get(rpc.DeadHeaderCause) != string(rpc.DeadBadReplyTo) || l.Header.Get(rpc.DeadHeaderError) == "" {
			s.Errorf("dead letter %v", l.Header)
		}
	}
	if n := w.seen.get("dead-" + string(rpc.DeadBadReplyTo)); n != len(bad) {
		s.Errorf("the worker counted %d, want %d", n, len(bad))
	}
	s.nothing(reader, quiet, victim)
}

// frame encodes an envelope as a client would, with a new id unless it has one, and a deadline far off.
func (s *system) frame(kind wire.Kind, env *wire.Envelope) []byte {
	env.Kind, env.Attempt = kind, 1
	if env.ID.IsZero() {
		env.ID = rpc.NewID()
	}
	s.ledger.sending(bodyName(env.Body))
	if kind == wire.KindRequest {
		env.Deadline, env.Budget = farOff()
	}
	return wire.Append(nil, env)
}

// raw puts frames on the system's stream that no client would make.
func (s *system) raw(frames ...[]byte) {
	s.Helper()
	msgs := make([]transport.Message, len(frames))
	for i, f := range frames {
		msgs[i] = transport.Message{Stream: s.stream, Body: f}
	}
	s.Env.send(s.admin, msgs...)
}

// Rule: two requests with one id, the second one sent while the first is being handled, and a third when it is done, run once,
// and the lane that they name gets one reply; the other two are counted as duplicates.
func sameIDTwice(s *system) {
	s.once = true
	w := s.local(nil)
	lane := s.tail(s.admin, transport.TailSpec{Name: "caller"})
	frame := s.frame(wire.KindRequest, &wire.Envelope{ReplyTo: lane.Address(), Function: fnEffect, Body: []byte("twin " + s.millis(patience/10))})
	s.raw(frame)
	s.until(patience, "the first to begin", func() bool { return s.ledger.beganTimes("twin") == 1 })
	s.raw(frame)
	w.await("duplicate", 1, patience)
	if got := s.read(lane, 1); !strings.Contains(got[0], "twin") {
		s.Errorf("the reply is %q", got[0])
	}
	s.drained()
	s.raw(frame)
	w.await("duplicate", 2, patience)
	s.silent(lane)
	if bad := s.ledger.repeated(); len(bad) > 0 {
		s.Errorf("ran more than once: %v", bad)
	}
}

// Rule: a handler that calls another stream over its own worker's client gets that one's answer, 50 times at once; a call within a
// handler whose deadline is over ends with it.
func nestedCalls(s *system) {
	other := s.stream + ".other"
	// More slots than calls in each: where each worker has its own part of a stream, those that wait for others must not fill it.
	s.local(func(c *childConfig) { c.Streams, c.Worker.Slots = []string{s.stream, other}, 128 })
	s.local(func(c *childConfig) { c.Streams, c.Worker.Slots = []string{other, s.stream}, 128 })
	c, _ := s.client(nil)
	var all []<-chan answer
	for range 50 {
		r := s.request(fnNested, "inner", 2*patience)
		r.ContentType = other
		all = append(all, s.later(c, r))
	}
	for _, a := range all {
		if got := s.within(2*patience, a); got.err != nil || string(got.resp.Body) != "inner" {
			s.Errorf("got %v", got)
		}
	}
	r := s.request(fnNested, "inner", patience/10)
	r.ContentType = s.stream + ".nobody"
	s.ensure(s.admin, transport.StreamSpec{Stream: r.ContentType, Groups: []string{rpc.DefaultGroup}})
	if got := s.within(patience/10, s.later(c, r)); got.err == nil {
		s.Errorf("a call to a stream that nobody serves gave %v", got)
	}
	if !s.caps.LiveConsumers { // the call was published: somebody has to settle it
		s.local(func(c *childConfig) { c.Streams = []string{r.ContentType} })
		s.until(2*patience, "the expired call to be settled", func() bool {
			l := s.lag(s.admin, r.ContentType, rpc.DefaultGroup)
			return l.Waiting <= 0 && l.Pending <= 0
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Call(ctx, s.request(fnEcho, "x", patience)); rpc.CodeOf(err) != rpc.CodeCanceled {
		s.Errorf("a call whose context has ended gave %v", err)
	}
}
