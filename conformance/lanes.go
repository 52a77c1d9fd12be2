package conformance

import "github.com/streamerson/streamerson/transport"

func (e *Env) closeLane(t transport.Tailer) {
	e.Helper()
	ctx, cancel := e.ctx(patience)
	defer cancel()
	if err := t.Close(ctx); err != nil {
		e.Errorf("closing lane %s: %v", t.Address(), err)
	}
}

// Rule: what another driver publishes to a lane right after Tail returned is read, byte for byte and in order; lanes with one
// name have different addresses, none like a stream's name or a shared lane's, and don't see each other's messages. A private
// lane needs no name.
func lane(e *Env) {
	d, sender := e.open(), e.open()
	want := awkward()
	for i := range 5 {
		t := e.tail(d, transport.TailSpec{Name: []string{"host-1", ""}[i%2]})
		twin := e.tail(d, transport.TailSpec{Name: "host-1"})
		if t.Address() == twin.Address() || t.Address() == "" || t.Address()[0] == '~' {
			e.Fatalf("two lanes have the addresses %q and %q", t.Address(), twin.Address())
		}
		msgs := messages(t.Address(), true, want)
		e.send(sender, msgs...)
		for _, m := range msgs {
			clear(m.Body)
		}
		if diff := difference(e.read(t, len(want)), want); diff != "" {
			e.Errorf("lane: %s", diff)
		}
		if i == 0 {
			e.silent(twin)
		}
		e.closeLane(t)
		e.closeLane(twin)
	}
}

// Rule: publishing to a lane whose tailer or whose driver was closed is rejected with CodeNotFound, again and again: the
// sender does not create it. Closing it again is harmless, and receiving from it is CodeClosed.
func laneGone(e *Env) {
	d, sender, other := e.open(), e.open(), e.open()
	t, t2 := e.tail(d, transport.TailSpec{Name: "lane"}), e.tail(other, transport.TailSpec{Name: "lane"})
	e.send(sender, transport.Message{Stream: t.Address(), Lane: true, Body: []byte("x")})
	e.closeLane(t)
	e.closeLane(t)
	ctx, cancel := e.ctx(patience)
	defer cancel()
	if err := other.Close(ctx); err != nil {
		e.Errorf("close: %v", err)
	}
	for range 3 {
		for _, gone := range []transport.Tailer{t, t2} {
			e.refuse(sender, transport.Message{Stream: gone.Address(), Lane: true, Body: []byte("x")}, transport.CodeNotFound)
		}
	}
	for _, gone := range []transport.Tailer{t, t2} {
		_, err := gone.Receive(ctx, 1)
		e.wantCode("receiving from a closed lane", err, transport.CodeClosed)
	}
}

// Rule: an address that no driver gave out (a stream's name, a group's, nonsense, bad characters) is rejected with
// CodeInvalid, and nothing is written anywhere.
func laneForged(e *Env) {
	d := e.open()
	s := e.stream(d, group)
	c := e.join(d, group, longLease)
	t := e.tail(d, transport.TailSpec{Name: "lane"})
	for _, forged := range []string{s, group, "", "~", "~a b", "~a\r\nb", "lane", "../" + s, "\x00", "x y", t.Address() + "\r\n", t.Address() + " ", " " + t.Address()} {
		e.refuse(d, transport.Message{Stream: forged, Lane: true, Body: []byte("forged")}, transport.CodeInvalid)
	}
	e.nothing(c, quiet, s)
	e.silent(t)
}

// Rule: every tailer of a shared lane, on whatever driver, reads all that is published after it attached and nothing older,
// in bodies of its own; its address is SharedLane(name). While nobody ever tailed it, it is CodeNotFound; after the last has
// left it is CodeNotFound or, while its lease runs out, swallows the message, which a later tailer doesn't see.
func laneShared(e *Env) {
	d1, d2, sender := e.open(), e.open(), e.open()
	name := e.name()
	m := func(body string) transport.Message {
		return transport.Message{Stream: transport.SharedLane(name), Lane: true, Body: []byte(body)}
	}
	e.refuse(sender, m("nobody"), transport.CodeNotFound)
	a := e.tail(d1, transport.TailSpec{Name: name, Shared: true})
	if a.Address() != transport.SharedLane(name) {
		e.Errorf("the shared lane's address is %q, want %q", a.Address(), transport.SharedLane(name))
	}
	e.send(sender, m("1"))
	b := e.tail(d2, transport.TailSpec{Name: name, Shared: true})
	b2 := e.tail(d2, transport.TailSpec{Name: name, Shared: true})
	msgs := []transport.Message{m("2"), m("3")}
	e.send(sender, msgs...)
	for _, x := range msgs {
		x.Body[0] = 'x' // the caller's again
	}
	for t, want := range map[transport.Tailer][]string{a: {"1", "2", "3"}, b: {"2", "3"}, b2: {"2", "3"}} {
		if diff := difference(e.read(t, len(want)), want); diff != "" {
			e.Errorf("shared lane: %s", diff)
		}
		e.silent(t)
	}
	e.send(sender, m("own"))
	for _, t := range []transport.Tailer{a, b, b2} {
		ctx, cancel := e.ctx(patience)
		bs, err := t.Receive(ctx, 1)
		cancel()
		if err != nil || string(bs[0]) != "own" {
			e.Fatalf("shared lane: %q, %v", bs, err)
		}
		clear(bs[0]) // each reader's own
	}
	e.closeLane(a)
	e.send(sender, m("4"))
	if diff := difference(e.read(b, 1), []string{"4"}); diff != "" {
		e.Errorf("after one reader left: %s", diff)
	}
	e.closeLane(b)
	e.closeLane(b2)
	if r := e.try(sender, m("late"))[0]; r.Err != nil {
		e.wantCode("publishing to a shared lane that all have left", r.Err, transport.CodeNotFound)
	}
	b = e.tail(d2, transport.TailSpec{Name: name, Shared: true})
	e.silent(b)
	e.send(sender, m("5"))
	if diff := difference(e.read(b, 1), []string{"5"}); diff != "" {
		e.Errorf("after all had left and one came back: %s", diff)
	}
}

// Rule: a lane with MaxLen 10 to which 3,000 messages were published unread gives at most 1,000 of them (brokers cap in
// steps, and a driver may hold some), in order, the newest 10 for certain; then it goes on as usual.
func laneCap(e *Env) {
	const n, keep, most = 3000, 10, 1000
	d, sender := e.open(), e.open()
	t := e.tail(d, transport.TailSpec{Name: "lane", MaxLen: keep})
	all := numbered(n)
	for i := 0; i < n; i += 100 {
		e.send(sender, messages(t.Address(), true, all[i:i+100])...)
	}
	ctx, cancel := e.ctx(patience)
	defer cancel()
	var got []string
	for len(got) == 0 || got[len(got)-1] != all[n-1] {
		bs, err := t.Receive(ctx, 100)
		if err != nil {
			e.Fatalf("with %d messages read, and not the last one: %v", len(got), err)
		}
		got = append(got, stringsOf(bs)...)
	}
	if len(got) < keep || len(got) > most {
		e.Errorf("%d messages came, want %d to %d", len(got), keep, most)
	} else if diff := difference(got[len(got)-keep:], all[n-keep:]); diff != "" {
		e.Errorf("the newest %d: %s", keep, diff)
	}
	e.send(sender, messages(t.Address(), true, []string{"next"})...)
	if diff := difference(e.read(t, 1), []string{"next"}); diff != "" {
		e.Errorf("after the cap: %s", diff)
	}
}
