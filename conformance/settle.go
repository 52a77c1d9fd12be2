package conformance

import (
	"fmt"

	"github.com/streamerson/streamerson/transport"
)

// Rule: an ack with a reply to a lane sends the reply and ends the delivery. When the lane is gone the error is CodeNotFound
// and the delivery stays pending, so that it can be settled otherwise; others of the same batch are not affected.
func replyThenAck(e *Env) {
	d, caller := e.open(), e.open()
	s := e.stream(d, group)
	c := e.join(d, group, longLease)
	t, gone := e.tail(caller, transport.TailSpec{Name: "here"}), e.tail(caller, transport.TailSpec{Name: "gone"})
	ctx, cancel := e.ctx(patience)
	defer cancel()
	if err := gone.Close(ctx); err != nil {
		e.Fatalf("closing a lane: %v", err)
	}
	e.publish(d, s, numbered(6)...)
	got := e.receive(c, 6, s)
	batch := make([]transport.Settlement, 6)
	for i := range batch {
		to := t.Address()
		if i%3 == 1 {
			to = gone.Address()
		}
		batch[i] = transport.Settlement{Delivery: &got[i], Verb: transport.Ack, Reply: &transport.Message{Stream: to, Lane: true, Body: fmt.Append(nil, "re ", i)}}
	}
	for i, err := range e.settleAll(c, batch...) {
		if i%3 == 1 {
			e.wantCode("a reply to a lane that is gone", err, transport.CodeNotFound)
		} else if err != nil {
			e.Errorf("reply %d: %v", i, err)
		}
	}
	if diff := difference(e.read(t, 4), []string{"re 0", "re 2", "re 3", "re 5"}); diff != "" {
		e.Errorf("replies: %s", diff)
	}
	e.pending(d, s, group, 2)
	e.nothing(c, quiet, s)
	e.pending(d, s, group, 2)
	e.ack(c, got[1], got[4])
	e.pending(d, s, group, 0)
	e.silent(t)
}

// Rule: a reply that neighbours in a batch share is sent once, and all of them are acked; when its lane is gone or it is too
// large, each of them gets that error and none is acked, so that they can be settled otherwise. Other settlements of the batch,
// with a reply of their own or none, are not affected.
func sharedReply(e *Env) {
	d, caller := e.open(), e.open()
	s := e.stream(d, group)
	c := e.join(d, group, longLease)
	t, gone := e.tail(caller, transport.TailSpec{Name: "here"}), e.tail(caller, transport.TailSpec{Name: "gone"})
	e.closeLane(gone)
	e.publish(d, s, numbered(14)...)
	got := e.receive(c, 14, s)
	to := func(lane transport.Tailer, body []byte) *transport.Message {
		return &transport.Message{Stream: lane.Address(), Lane: true, Body: body}
	}
	three, alone, two := to(t, []byte("for three")), to(t, []byte("for one")), to(t, []byte("for two"))
	lost, large := to(gone, []byte("lost")), to(t, make([]byte, d.Capabilities().MaxBody+1))
	want := []struct {
		reply *transport.Message
		code  transport.Code
	}{
		{three, 0}, {three, 0}, {three, 0}, {alone, 0}, {lost, transport.CodeNotFound}, {lost, transport.CodeNotFound}, {lost, transport.CodeNotFound}, {nil, 0},
		{two, 0}, {two, 0}, {large, transport.CodeTooLarge}, {large, transport.CodeTooLarge}, {large, transport.CodeTooLarge}, {nil, 0},
	}
	batch := make([]transport.Settlement, len(want))
	var kept []transport.Settlement
	again := to(t, []byte("again"))
	for i, w := range want {
		batch[i] = transport.Settlement{Delivery: &got[i], Verb: transport.Ack, Reply: w.reply}
		if w.code != 0 {
			kept = append(kept, transport.Settlement{Delivery: &got[i], Verb: transport.Ack, Reply: again})
		}
	}
	for i, err := range e.settleAll(c, batch...) {
		switch {
		case want[i].code != 0:
			e.wantCode(fmt.Sprintf("settlement %d, whose reply can't be sent", i), err, want[i].code)
		case err != nil:
			e.Errorf("settlement %d: %v", i, err)
		}
	}
	if diff := difference(e.read(t, 3), []string{"for three", "for one", "for two"}); diff != "" {
		e.Errorf("replies: %s", diff)
	}
	e.silent(t)
	e.pending(d, s, group, int64(len(kept)))
	e.nothing(c, quiet, s)
	e.pending(d, s, group, int64(len(kept)))
	for i, err := range e.settleAll(c, kept...) {
		if err != nil {
			e.Errorf("settlement %d, with another reply: %v", i, err)
		}
	}
	if diff := difference(e.read(t, 1), []string{"again"}); diff != "" {
		e.Errorf("replies: %s", diff)
	}
	e.silent(t)
	e.pending(d, s, group, 0)
}

// Rule: an ack whose reply goes to a stream (a dead letter) stores it there first; if that stream does not exist, or the body
// is too large for it, the delivery is not acked.
func deadLetterReply(e *Env) {
	d := e.open()
	s, dead := e.stream(d, group), e.stream(d, "readers")
	c, reader := e.join(d, group, longLease), e.join(d, "readers", longLease)
	e.publish(d, s, "x")
	x := e.receive(c, 1, s)[0]
	to := func(stream string, body []byte) error {
		return e.settleAll(c, transport.Settlement{Delivery: &x, Verb: transport.Ack, Reply: &transport.Message{Stream: stream, Body: body}})[0]
	}
	e.wantCode("a dead letter to a missing stream", to(e.name(), []byte("y")), transport.CodeNotFound)
	e.pending(d, s, group, 1)
	e.wantCode("a dead letter that is too large", to(dead, make([]byte, d.Capabilities().MaxBody+1)), transport.CodeTooLarge)
	e.pending(d, s, group, 1)
	if err := to(dead, []byte("y")); err != nil {
		e.Errorf("a dead letter: %v", err)
	}
	e.pending(d, s, group, 0)
	got := e.receive(reader, 1, dead)
	if string(got[0].Body) != "y" {
		e.Errorf("the dead letter is %q", got[0].Body)
	}
	e.ack(reader, got...)
}

// Rule: Name is set, MaxBody is at least 64 KiB, Durability has a note unless it is unknown, Connections is not negative, and
// Capabilities is the same each time and for each driver.
func capabilities(e *Env) {
	d, d2 := e.open(), e.open()
	a := d.Capabilities()
	if a != d.Capabilities() || a != d2.Capabilities() {
		e.Errorf("capabilities differ: %+v, %+v, %+v", a, d.Capabilities(), d2.Capabilities())
	}
	if a.Name == "" || a.MaxBody < 64<<10 || a.Connections < 0 || a.Durability > transport.DurabilityQuorum || a.DurabilityNote == "" {
		e.Errorf("capabilities: %+v", a)
	}
	e.Logf("%+v", a)
}

// Rule: what Capabilities doesn't claim is refused with CodeUnsupported, and the delivery is as before: Extend, Release,
// Release with a delay that can't be kept (ten times the lease; shorter ones are the driver's own affair), Browse and Remove.
func unclaimedRefused(e *Env) {
	d := e.open()
	caps := d.Capabilities()
	s := e.stream(d, group)
	c := e.join(d, group, longLease)
	e.publish(d, s, "x")
	x := e.receive(c, 1, s)[0]
	if !caps.Extend {
		e.wantCode("extend", e.settle(c, transport.Extend, x)[0], transport.CodeUnsupported)
	}
	if !caps.Release {
		e.wantCode("release", e.settle(c, transport.Release, x)[0], transport.CodeUnsupported)
	}
	if !caps.ReleaseDelay {
		err := e.settleAll(c, transport.Settlement{Delivery: &x, Verb: transport.Release, Delay: 10 * e.d(longLease)})[0]
		e.wantCode("release with a delay", err, transport.CodeUnsupported)
	}
	if b, ok := d.(transport.Browser); ok && !caps.Browse {
		ctx, cancel := e.ctx(patience)
		defer cancel()
		_, err := b.Browse(ctx, s, "", 1)
		e.wantCode("browse", err, transport.CodeUnsupported)
		_, err = b.Remove(ctx, s, []string{x.ID})
		e.wantCode("remove", err, transport.CodeUnsupported)
	} else if !ok && caps.Browse {
		e.Errorf("Browse is claimed and the driver is no transport.Browser")
	}
	e.nothing(c, quiet, s)
	e.ack(c, x)
	e.pending(d, s, group, 0)
}
