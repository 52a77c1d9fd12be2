package conformance

import (
	"fmt"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// Rule: with 5 messages published, 2 received and then all acked, Waiting, Pending and Oldest follow; each number may be −1
// instead, where the broker doesn't give it.
func lag(e *Env) {
	d, other := e.open(), e.open()
	s := e.stream(d, group, "others")
	if !d.Capabilities().Stored { // then there is no broker to ask, and a driver knows what it ensured
		e.ensure(other, transport.StreamSpec{Stream: s, Groups: []string{group, "others"}})
	}
	c := e.join(d, group, longLease)
	var l transport.Lag
	is := func(waiting, pending int64, old bool) {
		e.Helper()
		e.eventually(func() bool {
			l = e.lag(other, s, group)
			return (l.Waiting == waiting || l.Waiting == -1) && (l.Pending == pending || l.Pending == -1) &&
				(old && l.Oldest > 0 && l.Oldest < e.d(2*patience) || !old && l.Oldest == 0 || l.Oldest == -1)
		}, func() string {
			return fmt.Sprintf("the lag is %+v, want %d waiting, %d pending, oldest set: %v", l, waiting, pending, old)
		})
	}
	is(0, 0, false)
	start := time.Now()
	e.publish(d, s, numbered(5)...)
	published := time.Now()
	time.Sleep(e.d(100 * time.Millisecond))
	is(5, 0, true)
	got := e.receive(c, 2, s)
	is(3, 2, true)
	least := time.Since(published)
	if l = e.lag(other, s, group); l.Oldest >= 0 && (l.Oldest < least-10*time.Millisecond || l.Oldest > time.Since(start)+10*time.Millisecond) {
		e.Errorf("the oldest is %v old, want %v to %v", l.Oldest, least, time.Since(start))
	}
	e.ack(c, got[1])
	is(3, 1, true)
	got = append(got[:1], e.receive(c, 3, s)...)
	is(0, 4, true)
	e.ack(c, got...)
	is(0, 0, false)
	if l = e.lag(other, s, "others"); l.Waiting >= 0 && l.Waiting != 5 {
		e.Errorf("the other group has %d waiting, want 5", l.Waiting)
	}
}

// Rule: where LiveConsumers is claimed, a member counts within 2.5 s of its first Receive that lists the stream (credit 0
// counts too), for as long as it is joined, busy or not, and no longer than 2.5 s after its consumer or driver was closed.
func liveConsumers(e *Env) {
	watcher, d1, d2 := e.open(), e.open(), e.open()
	s := e.stream(watcher, group)
	if !watcher.Capabilities().LiveConsumers {
		c := e.join(watcher, group, longLease)
		e.nothing(c, quiet, s)
		if l := e.lag(watcher, s, group); l.Consumers > 0 {
			e.Errorf("LiveConsumers isn't claimed, and Lag tells of %d", l.Consumers)
		}
		e.refused("LiveConsumers isn't claimed: Lag tells of none")
		return
	}
	e.ensure(d1, transport.StreamSpec{Stream: s, Groups: []string{group}})
	e.ensure(d2, transport.StreamSpec{Stream: s, Groups: []string{group}})
	live := func(n int) {
		e.Helper()
		start := time.Now()
		var l transport.Lag
		e.eventually(func() bool { l = e.lag(watcher, s, group); return l.Consumers == n },
			func() string { return fmt.Sprintf("%d consumers are alive, want %d", l.Consumers, n) })
		if took := time.Since(start); took > e.d(2500*time.Millisecond) {
			e.Errorf("it took %v until %d consumers were alive", took, n)
		}
		if p, ok := watcher.(transport.Presence); ok {
			// Of a name that is none nothing is known, and that changes nothing of the others.
			got := make([]bool, 3)
			ctx, cancel := e.ctx(patience)
			defer cancel()
			if err := p.Live(ctx, []string{"nobody." + s, s, "no stream"}, group, got); err != nil || got[0] || got[1] != (n > 0) || !got[2] {
				e.Errorf("with %d consumers Live tells %v of a stream without, of this one and of a name that is none; %v", n, got, err)
			}
		}
	}
	list := func(c transport.Consumer, credit int) {
		ctx, cancel := e.ctx(quiet)
		defer cancel()
		if _, err := c.Receive(ctx, 1, []transport.Credit{{Stream: s, Max: credit}}); err == nil || ctx.Err() == nil {
			e.Errorf("receive: %v", err)
		}
	}
	live(0)
	a, b := e.join(d1, group, longLease), e.join(d2, group, longLease)
	list(a, 1)
	live(1)
	list(b, 0)
	live(2)
	time.Sleep(e.d(2200 * time.Millisecond)) // both are busy
	if l := e.lag(watcher, s, group); l.Consumers != 2 {
		e.Errorf("after 2.2 s without a Receive %d consumers are alive, want 2", l.Consumers)
	}
	ctx, cancel := e.ctx(patience)
	defer cancel()
	if err := a.Close(ctx); err != nil {
		e.Errorf("close: %v", err)
	}
	live(1)
	if err := d2.Close(ctx); err != nil {
		e.Errorf("close: %v", err)
	}
	live(0)
}

// Rule: where Browse is claimed, entries are shown in pages, oldest first, with their bodies, without taking them from a
// group; Remove deletes exactly the ids given, ignores unknown ones, and a removed entry is not delivered.
func browse(e *Env) {
	d := e.open()
	if !d.Capabilities().Browse {
		e.refused("Browse isn't claimed; unclaimed-refused looks at it")
		return
	}
	b, ok := d.(transport.Browser)
	if !ok {
		e.Fatalf("Browse is claimed and the driver is no transport.Browser")
	}
	ctx, cancel := e.ctx(patience)
	defer cancel()
	_, err := b.Browse(ctx, e.name(), "", 10)
	if err != nil { // an empty page is right as well: there is nothing
		e.wantCode("browsing a missing stream", err, transport.CodeNotFound)
	}
	s := e.stream(d)
	page := func(after string, n int) []transport.Delivery {
		e.Helper()
		ds, err := b.Browse(ctx, s, after, n)
		if err != nil {
			e.Fatalf("browse: %v", err)
		}
		return ds
	}
	if ds := page("", 10); len(ds) != 0 {
		e.Errorf("an empty stream shows %d entries", len(ds))
	}
	want := append(numbered(6), "\x00\xff")
	e.publish(d, s, want...)
	var all []transport.Delivery
	for ds := page("", 3); len(ds) > 0; ds = page(all[len(all)-1].ID, 3) {
		if len(ds) > 3 {
			e.Errorf("a page of 3 has %d entries", len(ds))
		}
		all = append(all, ds...)
	}
	if diff := difference(bodiesOf(all), want); diff != "" {
		e.Fatalf("browsed: %s", diff)
	}
	n, err := b.Remove(ctx, s, []string{all[1].ID, all[4].ID})
	if n != 2 || err != nil {
		e.Errorf("removing 2: %d, %v", n, err)
	}
	if n, err = b.Remove(ctx, s, []string{all[1].ID}); n != 0 || err != nil {
		e.Errorf("removing again: %d, %v", n, err)
	}
	e.ensure(d, transport.StreamSpec{Stream: s, Groups: []string{group}})
	c := e.join(d, group, longLease)
	got := e.receive(c, 5, s)
	if diff := difference(bodiesOf(got), []string{"0", "2", "3", "5", "\x00\xff"}); diff != "" {
		e.Errorf("delivered after browsing and removing: %s", diff)
	}
	e.ack(c, got...)
	// The same where the group is there already and has not read them.
	e.publish(d, s, "a", "b", "c")
	e.eventually(func() bool { all = page("", 10); return len(all) == 3 }, func() string {
		return fmt.Sprintf("%d entries are shown where 3 wait and all others are settled", len(all))
	})
	if n, err = b.Remove(ctx, s, []string{all[0].ID}); n != 1 || err != nil {
		e.Errorf("removing 1: %d, %v", n, err)
	}
	got = e.receive(c, 2, s)
	if diff := difference(bodiesOf(got), []string{"b", "c"}); diff != "" {
		e.Errorf("delivered after removing what waits: %s", diff)
	}
	e.ack(c, got...)
	e.nothing(c, quiet, s)
}
