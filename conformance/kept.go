package conformance

import (
	"github.com/streamerson/streamerson/transport"
)

// Rule: where Stored is claimed, of 1,000 messages that one group has read and settled at once, another group that reads only then gets every one
// once (order is kept inside one Publish only): a stream is never cut below what some group has not read, however long it grew.
func unreadKept(e *Env) {
	const n, step = 1000, 100
	d, sender := e.open(), e.open()
	if !d.Capabilities().Stored {
		e.refused("nothing is stored for a group that nobody has joined (Stored isn't claimed); publish-before-group looks at it")
		return
	}
	s := e.stream(d, "quick", "slow")
	e.ensure(sender, transport.StreamSpec{Stream: s, Groups: []string{"quick", "slow"}})
	quick := e.join(d, "quick", longLease)
	want := numbered(n)
	for i := 0; i < n; i += step {
		e.publish(sender, s, want[i:i+step]...)
		e.drain(quick, patience, step, s)
	}
	e.pending(d, s, "quick", 0)
	e.nothing(quick, quiet, s) // and time for a driver's housekeeping
	slow := e.join(d, "slow", longLease)
	got := e.drain(slow, 2*patience, n, s)
	if diff := sameSet(bodiesOf(got), want); diff != "" {
		e.Errorf("the slow group: %s", diff)
	}
	e.pending(d, s, "slow", 0)
}

// Rule: accepted means that the broker has it: of 20 drivers that publish 10 messages each and are closed at once, another
// driver gets every message that was accepted, and nothing else.
func acceptedOutlivesPublisher(e *Env) {
	const publishers, each = 20, 10
	d := e.open()
	s := e.stream(d, group)
	c := e.join(d, group, longLease)
	want := numbered(publishers * each)
	for i := range publishers {
		p := e.open()
		e.ensure(p, transport.StreamSpec{Stream: s})
		e.publish(p, s, want[i*each:(i+1)*each]...)
		ctx, cancel := e.ctx(patience)
		if err := p.Close(ctx); err != nil {
			e.Errorf("close: %v", err)
		}
		cancel()
	}
	got := e.drain(c, patience, len(want), s)
	if diff := sameSet(bodiesOf(got), want); diff != "" {
		e.Errorf("after the publishers were closed: %s", diff)
	}
	e.nothing(c, quiet, s)
}

// Rule: where the driver is a StreamDeleter, a deleted stream is CodeNotFound to publishers that don't ensure it again, its
// neighbour keeps all it has, deleting it once more is no error, and made again it is empty.
func deleteStreams(e *Env) {
	d, other := e.open(), e.open()
	deleter, ok := d.(transport.StreamDeleter)
	if !ok || !d.Capabilities().Stored {
		e.refused("the driver is no transport.StreamDeleter, or stores nothing")
		return
	}
	s, kept := e.stream(d, group), e.stream(d, group)
	e.publish(d, s, "old")
	e.publish(d, kept, "kept")
	ctx, cancel := e.ctx(2 * patience)
	defer cancel()
	for range 2 {
		if err := deleter.DeleteStreams(ctx, []string{s}); err != nil {
			e.Fatalf("delete: %v", err)
		}
	}
	e.eventually(func() bool {
		return transport.IsCode(e.try(other, messages(s, false, []string{"x"})...)[0].Err, transport.CodeNotFound)
	}, func() string { return "a publisher does not find out that the stream is gone" })
	e.ensure(other, transport.StreamSpec{Stream: s, Groups: []string{group}})
	c := e.join(other, group, longLease)
	e.publish(other, s, "new")
	got := e.receive(c, 1, s)
	if string(got[0].Body) != "new" {
		e.Errorf("the stream that was made again brings %q, want %q", got[0].Body, "new")
	}
	e.ack(c, got...)
	e.nothing(c, quiet, s)
	ck := e.join(d, group, longLease)
	got = e.receive(ck, 1, kept)
	if string(got[0].Body) != "kept" {
		e.Errorf("the neighbour brings %q, want %q", got[0].Body, "kept")
	}
	e.ack(ck, got...)
}
