package conformance

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/streamerson/streamerson/transport"
)

const group = "workers"

// awkward are bodies that a text protocol, a null-terminated string or a JSON encoding would damage.
func awkward() []string {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	big := make([]byte, 300_000)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range big {
		big[i] = byte(r.Uint32())
	}
	return []string{string(all), "", "\x00", "\r\n", "$-1\r\n", "\xff\xfe", "{}", string(big), strings.Repeat("\x00", 70_000)}
}

// Rule: awkward bodies arrive byte for byte, also when the caller overwrites its slices after Publish returned; every
// delivery names its stream, has an id of its own and Attempt 1, and an Age if and only if BrokerTime is claimed.
func roundtrip(e *Env) {
	d := e.open()
	s := e.stream(d, group)
	c := e.join(d, group, longLease)
	want := awkward()
	msgs := messages(s, false, want)
	e.send(d, msgs...)
	for _, m := range msgs {
		for i := range m.Body {
			m.Body[i] = 'x'
		}
	}
	got := e.receive(c, len(want), s)
	if diff := published(d, bodiesOf(got), want); diff != "" {
		e.Errorf("bodies: %s", diff)
	}
	ids := map[string]bool{}
	for _, x := range got {
		ids[x.ID] = true
		if x.Stream != s || x.Attempt != 1 {
			e.Errorf("delivery of stream %q with attempt %d, want %q with 1", x.Stream, x.Attempt, s)
		}
		if claimed := d.Capabilities().BrokerTime; claimed && (x.Age < 0 || x.Age > e.d(patience)) || !claimed && x.Age != -1 {
			e.Errorf("age %v with BrokerTime %v", x.Age, claimed)
		}
	}
	if len(ids) != len(got) || ids[""] {
		e.Errorf("%d deliveries have %d ids", len(got), len(ids))
	}
	e.ack(c, got...)
	e.pending(d, s, group, 0)
}

// maxTried bounds the bodies that the suite really sends.
const maxTried = 64 << 20

// Rule: a body of MaxBody bytes arrives (tried up to 64 MiB); one byte more is rejected with CodeTooLarge, to streams and
// lanes, and neither stored nor in the way of its neighbours.
func sizeLimits(e *Env) {
	d := e.open()
	s := e.stream(d, group)
	c := e.join(d, group, longLease)
	t := e.tail(d, transport.TailSpec{Name: "lane"})
	limit := d.Capabilities().MaxBody
	if limit <= maxTried {
		body := bytes.Repeat([]byte("m"), limit)
		body[limit-1] = 'z'
		e.send(d, transport.Message{Stream: s, Body: body})
		got := e.receive(c, 1, s)
		if !bytes.Equal(got[0].Body, body) {
			e.Errorf("a body of MaxBody came back with %d bytes, want %d", len(got[0].Body), limit)
		}
		e.send(d, transport.Message{Stream: t.Address(), Lane: true, Body: body})
		if b := e.read(t, 1); b[0] != string(body) {
			e.Errorf("a lane's body of MaxBody came back with %d bytes, want %d", len(b[0]), limit)
		}
		e.ack(c, got...)
	}
	over := make([]byte, limit+1)
	e.refuse(d, transport.Message{Stream: t.Address(), Lane: true, Body: over}, transport.CodeTooLarge)
	rs := e.try(d, transport.Message{Stream: s, Body: []byte("a")}, transport.Message{Stream: s, Body: over}, transport.Message{Stream: s, Body: []byte("b")})
	if rs[0].Err != nil || rs[2].Err != nil || rs[1].Outcome != transport.OutcomeRejected || !transport.IsCode(rs[1].Err, transport.CodeTooLarge) {
		e.Errorf("small, oversize, small: got %v", rs)
	}
	got := e.receive(c, 2, s)
	if diff := published(d, bodiesOf(got), []string{"a", "b"}); diff != "" {
		e.Errorf("around an oversize body: %s", diff)
	}
	e.ack(c, got...)
	e.nothing(c, quiet, s)
	e.silent(t)
}

// Rule: 500 messages of one Publish reach one consumer, in order where OrderedInPublish is claimed.
func orderInOnePublish(e *Env) {
	d := e.open()
	s := e.stream(d, group)
	c := e.join(d, group, longLease)
	want := numbered(500)
	e.publish(d, s, want...)
	got := e.receive(c, len(want), s)
	e.ack(c, got...)
	if diff := published(d, bodiesOf(got), want); diff != "" {
		e.Errorf("order: %s", diff)
	}
	if !d.Capabilities().OrderedInPublish {
		e.refused("OrderedInPublish isn't claimed: all of them come, in any order")
	}
}

// Rule: in one batch for two streams, a lane, a missing stream and a lane that is gone, each message has its own outcome.
func mixedBatch(e *Env) {
	d := e.open()
	s1, s2, missing := e.stream(d, group), e.stream(d, group), e.name()
	c := e.join(d, group, longLease)
	t, gone := e.tail(d, transport.TailSpec{Name: "lane"}), e.tail(d, transport.TailSpec{Name: "lane"})
	ctx, cancel := e.ctx(patience)
	defer cancel()
	if err := gone.Close(ctx); err != nil {
		e.Fatalf("closing a lane: %v", err)
	}
	rs := e.try(d,
		transport.Message{Stream: s1, Body: []byte("a")},
		transport.Message{Stream: missing, Body: []byte("x")},
		transport.Message{Stream: t.Address(), Lane: true, Body: []byte("l")},
		transport.Message{Stream: gone.Address(), Lane: true, Body: []byte("x")},
		transport.Message{Stream: s2, Body: []byte("b")},
		transport.Message{Stream: s1, Body: []byte("c")},
	)
	for i, r := range rs {
		if want := i == 1 || i == 3; want != transport.IsCode(r.Err, transport.CodeNotFound) || want == (r.Err == nil) {
			e.Errorf("message %d: %v with %v", i, r.Outcome, r.Err)
		}
	}
	got := e.receive(c, 3, s1, s2)
	if diff := sameSet(bodiesOf(got), []string{"a", "b", "c"}); diff != "" {
		e.Errorf("streams: %s", diff)
	}
	if diff := difference(e.read(t, 1), []string{"l"}); diff != "" {
		e.Errorf("lane: %s", diff)
	}
	e.ack(c, got...)
	e.nothing(c, quiet, s1, s2)
}

// Rule: messages of one stream with one DedupID, in one batch or in several, from one driver or two, are accepted and stored
// once where Dedup is claimed, and each time where it isn't; in another stream the same id is another message.
func dedup(e *Env) {
	d, d2 := e.open(), e.open()
	s, other := e.stream(d, group), e.stream(d, group)
	c := e.join(d, group, longLease)
	m := func(stream, id, body string) transport.Message {
		return transport.Message{Stream: stream, DedupID: id, Body: []byte(body)}
	}
	e.send(d, m(s, "1", "a"), m(s, "1", "a"), m(s, "2", "b"))
	e.send(d, m(s, "1", "a"))
	e.send(d2, m(s, "2", "b"))
	e.send(d, m(other, "1", "c"))
	want := []string{"a", "b", "c"}
	if !d.Capabilities().Dedup {
		want = []string{"a", "a", "a", "b", "b", "c"}
	}
	got := e.receive(c, len(want), s, other)
	if diff := sameSet(bodiesOf(got), want); diff != "" {
		e.Errorf("Dedup is %v: %s", d.Capabilities().Dedup, diff)
	}
	e.ack(c, got...)
	e.nothing(c, quiet, s, other)
	if !d.Capabilities().Dedup {
		e.refused("Dedup isn't claimed: each message is stored")
	}
}

// Rule: where OrderedByKey is claimed, each key's messages come in order to two consumers that take one at a time, and a key
// is never held by both; where it isn't, all of them come.
func orderedByKey(e *Env) {
	d := e.open()
	s := e.stream(d, group)
	cs := []transport.Consumer{e.join(d, group, longLease), e.join(d, group, longLease)}
	var msgs []transport.Message
	for i := range 60 {
		msgs = append(msgs, transport.Message{Stream: s, Key: fmt.Sprint(i % 3), Body: fmt.Append(nil, i)})
	}
	e.send(d, msgs...)
	var got, want []string
	last := map[int]int{0: -1, 1: -1, 2: -1}
	deadline := time.Now().Add(e.d(patience))
	for i := 0; len(got) < len(msgs); i++ {
		if time.Now().After(deadline) {
			e.Fatalf("got %d of %d messages", len(got), len(msgs))
		}
		ctx, cancel := e.ctx(quiet)
		ds, err := cs[i%2].Receive(ctx, 1, creditsFor(1, s))
		cancel()
		if err != nil {
			continue // the other consumer may own what is left
		}
		got = append(got, string(ds[0].Body))
		var n int
		if _, err := fmt.Sscan(string(ds[0].Body), &n); err != nil {
			e.Fatalf("body %q: %v", ds[0].Body, err)
		}
		if d.Capabilities().OrderedByKey && n < last[n%3] {
			e.Errorf("key %d: message %d came after %d", n%3, n, last[n%3])
		}
		last[n%3] = n
		e.ack(cs[i%2], ds...)
	}
	for _, m := range msgs {
		want = append(want, string(m.Body))
	}
	if diff := sameSet(slices.Clone(got), want); diff != "" {
		e.Errorf("%s", diff)
	}
	if !d.Capabilities().OrderedByKey {
		e.refused("OrderedByKey isn't claimed: all of them come, in any order")
	}
}

// Rule: where Backlog is claimed, a stream with MaxBacklog 20 rejects with CodeFull once more than that wait, having overshot by at most what was
// published within 250 ms; what was rejected is not stored, acks still work, and afterwards it accepts again. Where it isn't,
// Ensure refuses the MaxBacklog and makes nothing of its call.
func backlogFull(e *Env) {
	const backlog, step, pause = 20, 5, 25 * time.Millisecond
	d := e.open()
	s := e.name()
	if !d.Capabilities().Backlog {
		ctx, cancel := e.ctx(patience)
		defer cancel()
		other := e.name()
		specs := []transport.StreamSpec{{Stream: other, Groups: []string{group}}, {Stream: s, Groups: []string{group}, MaxBacklog: backlog}}
		e.wantCode("ensuring a MaxBacklog", d.Ensure(ctx, specs), transport.CodeUnsupported)
		for _, name := range []string{s, other} {
			e.refuse(d, transport.Message{Stream: name, Body: []byte("x")}, transport.CodeNotFound)
		}
		e.refused("Backlog isn't claimed: Ensure refuses a MaxBacklog")
		return
	}
	e.ensure(d, transport.StreamSpec{Stream: s, Groups: []string{group}, MaxBacklog: backlog})
	c := e.join(d, group, longLease)
	accepted, full := 0, false
	for i := 0; i < 100 && !full; i++ {
		for _, r := range e.try(d, messages(s, false, numbered(step))...) {
			if r.Err == nil {
				accepted++
				continue
			}
			full = true
			e.wantCode("past the backlog", r.Err, transport.CodeFull)
			if r.Outcome != transport.OutcomeRejected {
				e.Errorf("past the backlog: outcome %v", r.Outcome)
			}
		}
		time.Sleep(e.d(pause))
	}
	if !full {
		e.Fatalf("%d messages were accepted with a MaxBacklog of %d and none refused", accepted, backlog)
	}
	if most := backlog + step*int(250*time.Millisecond/pause) + 2*step; accepted < backlog || accepted > most {
		e.Errorf("%d messages were accepted, want between %d and %d", accepted, backlog, most)
	}
	e.ack(c, e.receive(c, accepted, s)...)
	e.nothing(c, quiet, s)
	e.eventually(func() bool { return e.try(d, messages(s, false, []string{"again"})...)[0].Err == nil },
		func() string { return "the stream is empty and still refuses" })
	e.ack(c, e.receive(c, 1, s)...)
}
