package conformance

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
)

// laneReader collects the replies that come through a lane, by the id of the call.
type laneReader struct {
	address string

	mu     sync.Mutex
	got    map[rpc.ID][]wire.Envelope
	packed map[rpc.ID]bool // came in a pack
}

// reads tails a lane of its own until the scenario's end.
func (s *system) reads(name string) *laneReader {
	s.Helper()
	t := s.tail(s.admin, transport.TailSpec{Name: name})
	l := &laneReader{address: t.Address(), got: map[rpc.ID][]wire.Envelope{}, packed: map[rpc.ID]bool{}}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			bodies, err := t.Receive(ctx, 100)
			if err != nil {
				time.Sleep(20 * time.Millisecond)
			}
			for _, b := range bodies {
				if wire.Unpack(b, func(m []byte) { l.add(s, m, true) }) != nil {
					l.add(s, b, false)
				}
			}
		}
	}()
	s.atEnd(func() { stop(); <-done })
	return l
}

func (l *laneReader) add(s *system, frame []byte, packed bool) {
	var env wire.Envelope
	if err := wire.Decode(&env, slices.Clone(frame)); err != nil || env.Kind != wire.KindReply {
		s.Errorf("on lane %s came a %v frame, %v: %.40q", l.address, env.Kind, err, frame)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got[env.ID] = append(l.got[env.ID], env)
	l.packed[env.ID] = l.packed[env.ID] || packed
}

func (l *laneReader) of(id rpc.ID) []wire.Envelope {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.got[id])
}

func (l *laneReader) inPack(id rpc.ID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.packed[id]
}

func (l *laneReader) len() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, es := range l.got {
		n += len(es)
	}
	return n
}

// packMember is one of a pack, and how it has to end: with a reply, as a dead letter, or with nothing that anybody sees.
type packMember struct {
	name  string
	frame []byte
	id    rpc.ID
	lane  *laneReader // of its reply
	code  rpc.Code
	body  string // of its reply
	dead  rpc.DeadCause
	plain bool // its caller reads no packs of replies
}

// packMembers makes what a pack of everything is made of. lane is the caller's, other another caller's.
func (s *system) packMembers(lane, other *laneReader) (all []packMember) {
	s.Helper()
	request := func(m packMember, env wire.Envelope) {
		env.Packs = !m.plain
		if env.Kind == 0 {
			env.Kind = wire.KindRequest
		}
		env.ID = rpc.NewID()
		m.id = env.ID
		s.ledger.sending(bodyName(env.Body))
		if env.Deadline == 0 && env.Kind == wire.KindRequest {
			env.Deadline, env.Budget = farOff()
		}
		env.Attempt = 1
		m.frame = wire.Append(nil, &env)
		all = append(all, m)
	}
	answered := func(name, function, body string, code rpc.Code, want string) {
		request(packMember{name: name, lane: lane, code: code, body: want}, wire.Envelope{ReplyTo: lane.address, Function: function, Body: []byte(body)})
	}
	good := func(name string) { answered(name, fnEcho, name, rpc.CodeOK, name) }

	good("first")
	answered("an error", fnFail, "x", rpc.CodeFailedPrecondition, "")
	answered("a plain error", fnPlain, "x", rpc.CodeInternal, "")
	answered("a panic", fnPanic, "x", rpc.CodeInternal, "")
	answered("nobody's function", "missing", "x", rpc.CodeUnimplemented, "")
	good("second")
	past := time.Now().Add(-time.Minute).UnixMilli()
	request(packMember{name: "an expired call"}, wire.Envelope{ReplyTo: lane.address, Function: fnEffect, Body: []byte("expired"), Deadline: past})
	request(packMember{name: "an expired one-way message", dead: rpc.DeadExpired}, wire.Envelope{Kind: wire.KindSend, Function: fnEffect, Body: []byte("too-late"), Deadline: past})
	request(packMember{name: "a one-way message"}, wire.Envelope{Kind: wire.KindSend, Function: fnEffect, Body: []byte("oneway")})
	request(packMember{name: "a failing one-way message", dead: rpc.DeadFailed}, wire.Envelope{Kind: wire.KindSend, Function: fnFail, Body: []byte("bad")})
	request(packMember{name: "nobody's one-way message", dead: rpc.DeadNoFunction}, wire.Envelope{Kind: wire.KindSend, Function: "missing", Body: []byte("nobody's")})
	request(packMember{name: "a call without a reply address"}, wire.Envelope{Function: fnEffect, Body: []byte("silent")})
	for _, garbage := range []string{"garbage", "rubbish"} {
		all = append(all, packMember{name: garbage, frame: []byte(garbage), dead: rpc.DeadUndecodable})
	}
	for _, body := range []string{"noid1", "noid2"} {
		frame := wire.Append(nil, &wire.Envelope{Kind: wire.KindRequest, Function: fnEffect, ReplyTo: lane.address, Body: []byte(body)})
		all = append(all, packMember{name: body, frame: frame, dead: rpc.DeadUndecodable})
	}
	request(packMember{name: "a reply", dead: rpc.DeadWrongKind}, wire.Envelope{Kind: wire.KindReply, Body: []byte("reply")})
	all = append(all, packMember{name: "a pack", frame: packOf(all[0].frame), dead: rpc.DeadWrongKind})
	request(packMember{name: "another's call", lane: other, body: "other"}, wire.Envelope{ReplyTo: other.address, Function: fnEcho, Body: []byte("other")})
	request(packMember{name: "a call whose reply goes alone", lane: lane, body: "plain", plain: true}, wire.Envelope{ReplyTo: lane.address, Function: fnEcho, Body: []byte("plain")})
	request(packMember{name: "a call with a bad reply address", dead: rpc.DeadBadReplyTo}, wire.Envelope{ReplyTo: s.stream, Function: fnEcho, Body: []byte("evil")})
	good("third")
	long := func(name string, n int) {
		answered(name, fnEcho, name+strings.Repeat("l", n), rpc.CodeOK, name+strings.Repeat("l", n))
	}
	long("long", 9<<10)
	for i := range 12 { // more than a frame of replies takes
		long("longish"+itoa(i), 7<<10)
	}
	answered("twin", fnEffect, "twin", rpc.CodeOK, "twin")
	all = append(all, packMember{name: "its twin", frame: all[len(all)-1].frame})
	good("last")
	return all
}

// Rule: each request of a pack ends as it would have alone. Those that are good are answered, once each, to the reply address that each
// names, however long the replies are; an error, a panic and a function that nobody serves come to their callers; what has expired
// doesn't run; of two with one id one runs; a one-way message runs, with its retries; garbage, what is no request, a bad reply
// address and a one-way message that can't be handled are dead letters with their own frame and cause. Nothing is left pending.
// A pack that can't be taken apart is a dead letter as it was.
func packedMembers(s *system) {
	w := s.packWorker()
	s.endAsAlone(w, nil)
	broken := [][]byte{wire.AppendPack(nil, wire.KindRequests, rpc.NewID()), packOf([]byte("cut"))[:packCut], wire.AppendMember(wire.AppendPack(nil, wire.KindRequests, wire.ID{}), []byte("no id"))}
	before := len(s.deadLetters())
	s.raw(broken...)
	s.until(2*patience, "the broken packs to be dead letters", func() bool { return len(s.deadLetters()) >= before+len(broken) })
	for _, frame := range broken {
		if n, cause := s.buried(frame); n == 0 || cause != rpc.DeadUndecodable {
			s.Errorf("of the broken pack %q there are %d dead letters with cause %q", frame, n, cause)
		}
	}
	s.drained()
}

// packCut is within the member of the pack that it cuts.
var packCut = len(packOf([]byte("cut"))) - 1

// Rule: the same holds of a pack that was delivered before, to a worker that gave it back (or, where Release isn't claimed, left). A
// transport that doesn't claim Stored delivers a pack once.
func packedMembersAgain(s *system) {
	if !s.caps.Stored {
		s.refused("Stored isn't claimed: a pack is delivered once")
		return
	}
	ctx, cancel := s.ctx(patience)
	defer cancel()
	first := s.join(s.admin, rpc.DefaultGroup, longLease)
	s.endAsAlone(nil, func() *member {
		ds := s.receive(first, 1, s.stream)
		if s.caps.Release {
			if err := s.settle(first, transport.Release, ds...)[0]; err != nil {
				s.Fatalf("giving the pack back: %v", err)
			}
		}
		if err := first.Close(ctx); err != nil {
			s.Fatalf("leaving: %v", err)
		}
		return s.packWorker()
	})
}

// packWorker tries a one-way message three times.
func (s *system) packWorker() *member {
	s.Helper()
	return s.local(func(c *childConfig) {
		c.Worker.RetryDelays = []time.Duration{s.d(50 * time.Millisecond), s.d(100 * time.Millisecond)}
	})
}

// endAsAlone puts a pack of everything on the stream and checks how each of it ends. then, if there is one, brings the worker.
func (s *system) endAsAlone(w *member, then func() *member) {
	s.Helper()
	lane, other := s.reads("caller"), s.reads("other")
	all := s.packMembers(lane, other)
	frames := make([][]byte, len(all))
	for i, m := range all {
		frames[i] = m.frame
	}
	s.raw(packOf(frames...))
	again := 2 // the failing one-way message
	if then != nil {
		w = then()
		again++
	}
	var waits []string
	s.atEnd(func() {
		if len(waits) > 0 {
			s.Logf("not ended: %v", waits)
		}
	})
	s.until(3*patience, "all requests of the pack to end", func() bool {
		waits = waits[:0]
		for _, m := range all {
			if m.lane != nil && len(m.lane.of(m.id)) == 0 {
				waits = append(waits, m.name)
			} else if n, _ := s.buried(m.frame); m.dead != "" && n == 0 {
				waits = append(waits, m.name)
			}
		}
		for _, name := range []string{"oneway", "silent"} {
			if s.ledger.beganTimes(name) == 0 {
				waits = append(waits, name)
			}
		}
		return len(waits) == 0
	})
	s.drained()
	time.Sleep(s.d(quiet)) // for what comes once too often
	once := w.seen.get("redelivered") <= again
	later, want := 0, map[*laneReader]int{lane: 0, other: 0}
	for _, m := range all {
		n, cause := s.buried(m.frame)
		if n > 1 && once || (n > 0) != (m.dead != "") || cause != m.dead {
			s.Errorf("%s: %d dead letters with cause %q, want %q", m.name, n, cause, m.dead)
		}
		if m.lane == nil {
			continue
		}
		want[m.lane]++
		got := m.lane.of(m.id)
		if len(got) > 1 && once {
			s.Errorf("%s: %d replies", m.name, len(got))
		}
		if m.plain && m.lane.inPack(m.id) {
			s.Errorf("%s: its reply came in a pack", m.name)
		}
		if got[0].Attempt != 1 {
			later++
		}
		if e := got[0]; e.Code != m.code || string(e.Body) != m.body {
			s.Errorf("%s: answered with %v and %d bytes, %.40q, want %v and %d", m.name, e.Code, len(e.Body), e.Body, m.code, len(m.body))
		}
	}
	if later > len(all)/4 { // a few may have been delivered again for themselves
		s.Errorf("%d requests were answered at a later attempt: each has attempts of its own", later)
	}
	for l, n := range want {
		if l.len() != n && once {
			s.Errorf("lane %s brought %d replies, want %d", l.address, l.len(), n)
		}
	}
	if n := len(s.deadLetters()); once && n != len(slices.DeleteFunc(all, func(m packMember) bool { return m.dead == "" })) {
		s.Errorf("%d dead letters", n)
	}
	if bad := s.ledger.repeated(); len(bad) > 0 && once {
		s.Errorf("ran more than once: %v", bad)
	}
	for _, name := range []string{"expired", "too-late", "noid1", "noid2"} {
		if s.ledger.beganTimes(name) > 0 {
			s.Errorf("%s ran", name)
		}
	}
	if n := w.seen.get("expired-deadline"); n == 0 {
		s.Errorf("what expired was not counted: %v", &w.seen)
	}
}

// buried counts the dead letters with that frame; cause is the last one's.
func (s *system) buried(frame []byte) (n int, cause rpc.DeadCause) {
	for _, l := range s.deadLetters() {
		if sameFrame(l.Frame, frame) {
			n, cause = n+1, rpc.DeadCause(l.Header.Get(rpc.DeadHeaderCause))
		}
	}
	return n, cause
}

// sameFrame compares all but the budget, of which a request has less when it is published again, and the attempt, which counts that.
func sameFrame(a, b []byte) bool {
	if _, _, ok := wire.Peek(a); ok && len(a) == len(b) {
		a, b = slices.Clone(a), slices.Clone(b)
		wire.SetBudget(a, 0)
		wire.SetBudget(b, 0)
		wire.SetAttempt(a, 0)
		wire.SetAttempt(b, 0)
	}
	return bytes.Equal(a, b)
}
