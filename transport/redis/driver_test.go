package redis

import (
	"bytes"
	"crypto/rand"
	"slices"
	"testing"
	"time"

	"github.com/streamerson/streamerson/transport"
)

func TestRoundTripOfAnyBytes(t *testing.T) {
	d, _ := open(t)
	s := name(t)
	ensure(t, d, s)
	big := make([]byte, 5<<20)
	_, _ = rand.Read(big)
	want := [][]byte{nil, {0}, []byte("\r\n$-1\r\n*2\r\n"), []byte("äöü"), big}
	var m []transport.Message
	for _, b := range want {
		m = append(m, transport.Message{Stream: s, Body: b})
	}
	accepted(t, d, m...)
	c := join(t, d, 0)
	got := receive(t, c, s, len(want), 10*time.Second)
	for i, g := range got {
		if !bytes.Equal(g.Body, want[i]) || g.Attempt != 1 || g.Stream != s || g.ID == "" {
			t.Fatalf("delivery %d: %d bytes, attempt %d", i, len(g.Body), g.Attempt)
		}
		if g.Age < 0 || g.Age > 10*time.Second {
			t.Fatalf("age %v", g.Age)
		}
	}
	if l := lag(t, d, s); l.Pending != 5 || l.Waiting != 0 || l.Oldest <= 0 {
		t.Fatalf("lag %+v", l)
	}
	ok(t, settle(t, c, transport.Ack, got...))
	if l := lag(t, d, s); l.Pending != 0 || l.Waiting != 0 || l.Oldest != 0 {
		t.Fatalf("lag after acks %+v", l)
	}
	eventually(t, 3*time.Second, "the settled entries are trimmed", func() bool {
		return admin(t, shared.Addr).XLen(t.Context(), streamKey(s)).Val() == 0
	})
	ok(t, settle(t, c, transport.Ack, got...)) // twice is harmless
}

func TestReplyReachesTheLaneBeforeTheAck(t *testing.T) {
	d, _ := open(t)
	s := name(t)
	ensure(t, d, s)
	tail, err := d.Tail(t.Context(), transport.TailSpec{Name: "gw"})
	if err != nil {
		t.Fatal(err)
	}
	accepted(t, d, msgs(s, "q")...)
	c := join(t, d, 0)
	q := receive(t, c, s, 1, 5*time.Second)
	errs := make([]error, 1)
	c.Settle(t.Context(), []transport.Settlement{{
		Delivery: &q[0], Verb: transport.Ack, Reply: &transport.Message{Stream: tail.Address(), Lane: true, Body: []byte("answer")},
	}}, errs)
	ok(t, errs)
	got, err := tail.Receive(within(t, 5*time.Second), 10)
	if err != nil || len(got) != 1 || string(got[0]) != "answer" {
		t.Fatalf("got %q, %v", got, err)
	}
	if l := lag(t, d, s); l.Pending != 0 {
		t.Fatalf("lag %+v", l)
	}
}

func TestASharedReplyIsOneEntryAndAcksWhoeverStillHasItsDelivery(t *testing.T) {
	d, _ := open(t)
	s := name(t)
	ensure(t, d, s)
	tail, err := d.Tail(t.Context(), transport.TailSpec{Name: "gw"})
	if err != nil {
		t.Fatal(err)
	}
	c, other := join(t, d, minLease), join(t, d, time.Minute)
	accepted(t, d, msgs(s, "lost")...)
	q := receive(t, c, s, 1, 5*time.Second)
	stolen := receive(t, other, s, 1, 5*time.Second) // after the first's lease
	accepted(t, d, msgs(s, "a", "b", "c")...)
	q = append(q, receive(t, c, s, 3, 5*time.Second)...)
	reply := &transport.Message{Stream: tail.Address(), Lane: true, Body: []byte("for all")}
	batch, errs := make([]transport.Settlement, len(q)), make([]error, len(q))
	for i := range q {
		batch[i] = transport.Settlement{Delivery: &q[i], Verb: transport.Ack, Reply: reply}
	}
	c.Settle(t.Context(), batch, errs)
	if !transport.IsCode(errs[0], transport.CodeStale) {
		t.Errorf("what went to another consumer: %v", errs[0])
	}
	ok(t, errs[1:])
	if n := admin(t, shared.Addr).XLen(t.Context(), tail.Address()).Val(); n != 1 {
		t.Errorf("the lane has %d entries", n)
	}
	eventually(t, 3*time.Second, "the others are acked, and what the other consumer holds is not", func() bool { return lag(t, d, s).Pending == 1 })
	ok(t, settle(t, other, transport.Ack, stolen...))
}

func TestCompetingConsumersShareEachMessageOnce(t *testing.T) {
	d, _ := open(t)
	s := name(t)
	ensure(t, d, s)
	const n = 500
	var in []string
	for range n {
		in = append(in, newInstance())
	}
	accepted(t, d, msgs(s, in...)...)
	out := make(chan transport.Delivery, 2*n)
	for range 3 {
		c := join(t, d, 0)
		go func() {
			for {
				ds, err := c.Receive(t.Context(), 7, []transport.Credit{{Stream: s, Max: 7}})
				if err != nil {
					return
				}
				for _, x := range ds {
					out <- x
				}
				batch := make([]transport.Settlement, len(ds))
				for i := range ds {
					batch[i] = transport.Settlement{Delivery: &ds[i], Verb: transport.Ack}
				}
				c.Settle(t.Context(), batch, make([]error, len(ds)))
			}
		}()
	}
	var got []string
	for range n {
		select {
		case x := <-out:
			got = append(got, string(x.Body))
		case <-time.After(10 * time.Second):
			t.Fatalf("only %d arrived", len(got))
		}
	}
	slices.Sort(got)
	slices.Sort(in)
	if !slices.Equal(got, in) {
		t.Fatal("what arrived is not what was sent")
	}
	eventually(t, 3*time.Second, "all are acked", func() bool { l := lag(t, d, s); return l.Pending == 0 && l.Waiting == 0 })
	if len(out) > 0 {
		t.Fatal("a message was delivered twice")
	}
}

func TestOneReadNeverExceedsTheCredits(t *testing.T) {
	d, ev := open(t)
	base := name(t)
	var streams []string
	var credits []transport.Credit
	for i := range 20 {
		s := base + "." + string(rune('a'+i))
		streams = append(streams, s)
		credits = append(credits, transport.Credit{Stream: s, Max: 1 + i%3})
	}
	ensure(t, d, streams...)
	for _, s := range streams {
		accepted(t, d, msgs(s, "1", "2", "3", "4", "5")...)
	}
	c := join(t, d, 0)
	total := 0
	for total < 100 {
		ds, err := c.Receive(within(t, 10*time.Second), 7, credits)
		if err != nil {
			t.Fatalf("after %d: %v", total, err)
		}
		if len(ds) == 0 || len(ds) > 7 {
			t.Fatalf("%d deliveries for 7 credits", len(ds))
		}
		per := map[string]int{}
		for _, x := range ds {
			per[x.Stream]++
			if x.Attempt != 1 && ev.count(transport.EventSurplus) == 0 {
				t.Fatalf("attempt %d", x.Attempt)
			}
		}
		for i, cr := range credits {
			if per[cr.Stream] > cr.Max {
				t.Fatalf("stream %d: %d deliveries for %d credits", i, per[cr.Stream], cr.Max)
			}
		}
		ok(t, settle(t, c, transport.Ack, ds...))
		total += len(ds)
	}
	for _, s := range streams {
		eventually(t, 3*time.Second, "nothing is left", func() bool { l := lag(t, d, s); return l.Pending == 0 && l.Waiting == 0 })
	}
}

func TestSurplusIsGivenBackUncounted(t *testing.T) {
	d, ev := open(t)
	base := name(t)
	credits := make([]transport.Credit, 5)
	for i := range credits {
		s := base + "." + string(rune('a'+i))
		ensure(t, d, s)
		accepted(t, d, msgs(s, "x")...)
		credits[i] = transport.Credit{Stream: s, Max: 9}
	}
	c := join(t, d, 0)
	c.busy = false // as after a time without messages: go straight to the blocked read
	seen := 0
	for seen < 5 {
		ds, err := c.Receive(within(t, 5*time.Second), 2, credits)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range ds {
			if x.Attempt != 1 {
				t.Fatalf("a surplus delivery counted: attempt %d", x.Attempt)
			}
		}
		ok(t, settle(t, c, transport.Ack, ds...))
		seen += len(ds)
	}
	if ev.count(transport.EventSurplus) != 3 {
		t.Fatalf("surplus %d", ev.count(transport.EventSurplus))
	}
}

func TestCancelledReceiveReturnsAtOnceAndLosesNothing(t *testing.T) {
	d, _ := open(t)
	s := name(t)
	ensure(t, d, s)
	c := join(t, d, 0)
	start := time.Now()
	nothing(t, c, s, 50*time.Millisecond)
	if took := time.Since(start); took > 300*time.Millisecond {
		t.Fatalf("a cancelled Receive took %v", took)
	}
	// Cancels that race with deliveries.
	const n = 200
	go func() {
		for i := range n {
			res := make([]transport.Result, 1)
			d.Publish(t.Context(), msgs(s, string(rune('0'+i%10))), res)
			time.Sleep(time.Millisecond)
		}
	}()
	got := 0
	for end := time.Now().Add(10 * time.Second); got < n; {
		if time.Now().After(end) {
			t.Fatalf("got %d of %d", got, n)
		}
		ds, err := c.Receive(within(t, 3*time.Millisecond), 5, []transport.Credit{{Stream: s, Max: 5}})
		if err != nil && !transport.IsCode(err, transport.CodeTimeout) {
			t.Fatal(err)
		}
		for _, x := range ds {
			if x.Attempt != 1 {
				t.Fatal("a delivery was lost and came again")
			}
		}
		ok(t, settle(t, c, transport.Ack, ds...))
		got += len(ds)
	}
}
