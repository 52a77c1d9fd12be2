package redis

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/transport"
)

func TestALostAnswerIsUnknownAndStoredOnce(t *testing.T) {
	p := newProxy(t, shared.Addr)
	d := openWith(t, "redis://"+p.addr, transport.Options{})
	s := name(t)
	ensure(t, d, s)
	p.swallow.Store(true)
	r := publish(t, d, msgs(s, "once")...)[0]
	p.swallow.Store(false)
	if r.Outcome != transport.OutcomeUnknown || r.Err == nil {
		t.Fatalf("outcome %v, %v", r.Outcome, r.Err)
	}
	if n := admin(t, shared.Addr).XLen(t.Context(), streamKey(s)).Val(); n != 1 {
		t.Fatalf("%d entries are stored", n)
	}
	// The connection is replaced before anyone else is refused.
	accepted(t, d, msgs(s, "next")...)
}

func TestAClosedConnectionIsReplacedUnseen(t *testing.T) {
	p := newProxy(t, shared.Addr)
	d := openWith(t, "redis://"+p.addr, transport.Options{})
	s := name(t)
	ensure(t, d, s)
	for range 3 {
		p.cut()
		time.Sleep(20 * time.Millisecond) // until the close has arrived: then nothing is written to the dead connection
		if r := publish(t, d, msgs(s, "x")...)[0]; r.Outcome == transport.OutcomeUnknown {
			t.Fatalf("a connection that was known to be closed gave %v", r.Err)
		}
	}
}

func TestKilledBrokerRefusesAtOnceAndComesBack(t *testing.T) {
	r := own(t, brokers.RedisConfig{AOF: "everysec"})
	ev := &events{}
	d := openWith(t, r.URL, transport.Options{OnEvent: ev.add})
	s := name(t)
	ensure(t, d, s)
	tail, err := d.Tail(t.Context(), transport.TailSpec{})
	if err != nil {
		t.Fatal(err)
	}
	c := join(t, d, time.Second)
	var sent, got atomic.Int64
	stop := make(chan struct{})
	seen := make(chan string, 100_000)
	go func() {
		for {
			ds, err := c.Receive(t.Context(), 50, []transport.Credit{{Stream: s, Max: 50}})
			if transport.IsCode(err, transport.CodeClosed) || t.Context().Err() != nil {
				return
			}
			batch := make([]transport.Settlement, len(ds))
			for i := range ds {
				seen <- string(ds[i].Body)
				got.Add(1)
				batch[i] = transport.Settlement{Delivery: &ds[i], Verb: transport.Ack}
			}
			c.Settle(t.Context(), batch, make([]error, len(ds)))
		}
	}()
	accept := make(chan string, 100_000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			body := fmt.Sprint(i)
			res := make([]transport.Result, 1)
			start := time.Now()
			d.Publish(t.Context(), msgs(s, body), res)
			if time.Since(start) > time.Second {
				t.Errorf("a publish took %v", time.Since(start))
			}
			if res[0].Outcome == transport.OutcomeAccepted {
				accept <- body
				sent.Add(1)
			} else {
				time.Sleep(time.Millisecond)
			}
		}
	}()
	eventually(t, 5*time.Second, "traffic", func() bool { return got.Load() > 200 })
	if err := r.Kill9(); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Second, "the loss is noticed", func() bool { return ev.count(transport.EventDisconnected) == 1 })
	for range 20 {
		start := time.Now()
		res := publish(t, d, msgs(s, "refused")...)[0]
		code(t, res.Err, transport.CodeUnavailable)
		if res.Outcome != transport.OutcomeRejected || time.Since(start) > 100*time.Millisecond {
			t.Fatalf("%v after %v", res.Outcome, time.Since(start))
		}
	}
	if err := r.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := sent.Load()
	eventually(t, 2*time.Second, "publishing is back", func() bool { return sent.Load() > before+20 })
	before = got.Load()
	eventually(t, 2*time.Second, "receiving is back", func() bool { return got.Load() > before+20 })
	close(stop)
	<-done
	close(accept)
	want := map[string]bool{}
	for b := range accept {
		want[b] = true
	}
	eventually(t, 5*time.Second, "all accepted messages are handled", func() bool {
		for {
			select {
			case b := <-seen:
				delete(want, b)
				continue
			default:
			}
			return len(want) == 0
		}
	})
	// The lane works as before: its stream was in the append-only file.
	accepted(t, d, transport.Message{Stream: tail.Address(), Lane: true, Body: []byte("still")})
	if b, err := tail.Receive(within(t, 2*time.Second), 1); err != nil || string(b[0]) != "still" {
		t.Fatalf("lane: %q, %v", b, err)
	}
}

func TestPausedBrokerIsUnknownThenRefused(t *testing.T) {
	r := own(t, brokers.RedisConfig{})
	d := openWith(t, r.URL+"?timeout=500ms", transport.Options{})
	s := name(t)
	ensure(t, d, s)
	// A caller's own deadline is kept.
	res := make([]transport.Result, 1)
	for try := 0; ; try++ {
		if err := r.Pause(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		d.Publish(within(t, 100*time.Millisecond), msgs(s, "first"), res)
		if time.Since(start) > 300*time.Millisecond {
			t.Fatalf("%v, %v after %v", res[0].Outcome, res[0].Err, time.Since(start))
		}
		if res[0].Outcome == transport.OutcomeUnknown {
			break
		}
		// The housekeeper's own pipeline was in flight, and the message waited behind it: again.
		if res[0].Outcome != transport.OutcomeRejected || try == 10 {
			t.Fatalf("%v, %v", res[0].Outcome, res[0].Err)
		}
		if err := r.Resume(); err != nil {
			t.Fatal(err)
		}
		eventually(t, 2*time.Second, "it is back", func() bool { return publish(t, d, msgs(s, "again")...)[0].Err == nil })
		admin(t, r.Addr).Do(t.Context(), "XTRIM", streamKey(s), "MAXLEN", 0)
	}
	// Nobody waits behind it for long, and then not at all.
	start := time.Now()
	if x := publish(t, d, msgs(s, "queued")...)[0]; x.Outcome != transport.OutcomeRejected || time.Since(start) > time.Second {
		t.Fatalf("%v, %v after %v", x.Outcome, x.Err, time.Since(start))
	}
	eventually(t, 2*time.Second, "it is refused at once", func() bool {
		start := time.Now()
		x := publish(t, d, msgs(s, "late")...)[0]
		return x.Outcome == transport.OutcomeRejected && transport.IsCode(x.Err, transport.CodeUnavailable) && time.Since(start) < 20*time.Millisecond
	})
	if err := r.Resume(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*time.Second, "it is back", func() bool { return publish(t, d, msgs(s, "back")...)[0].Err == nil })
	if n := admin(t, r.Addr).XRange(t.Context(), streamKey(s), "-", "+").Val(); len(n) != 2 || n[0].Values["b"] != "first" {
		t.Fatalf("stored: %v", n)
	}
}

func TestReceiveFromAPausedBrokerEndsWithItsContext(t *testing.T) {
	r := own(t, brokers.RedisConfig{})
	d := openWith(t, r.URL+"?timeout=1s", transport.Options{})
	s := name(t)
	ensure(t, d, s)
	c := join(t, d, 0)
	nothing(t, c, s, 50*time.Millisecond)
	if err := r.Pause(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_, err := c.Receive(within(t, 50*time.Millisecond), 1, []transport.Credit{{Stream: s, Max: 1}})
	code(t, err, transport.CodeTimeout)
	if took := time.Since(start); took > 600*time.Millisecond {
		t.Fatalf("it took %v", took)
	}
	_ = r.Resume()
	eventually(t, 3*time.Second, "publishing is back", func() bool { return publish(t, d, msgs(s, "x")...)[0].Err == nil })
	// The paused broker still has the read that was given up: what it delivers to that comes again after its lease.
	ok(t, settle(t, c, transport.Ack, receive(t, c, s, 1, transport.DefaultLease+2*time.Second)...))
}

func TestFullMemoryRefusesRequestsAndRepliesButNotAcks(t *testing.T) {
	r := own(t, brokers.RedisConfig{MaxMemory: "8mb"})
	d := openWith(t, r.URL, transport.Options{})
	s := name(t)
	ensure(t, d, s)
	tail, err := d.Tail(t.Context(), transport.TailSpec{})
	if err != nil {
		t.Fatal(err)
	}
	c := join(t, d, 5*time.Second)
	accepted(t, d, msgs(s, "a", "b")...)
	got := receive(t, c, s, 2, 5*time.Second)
	fill := strings.Repeat("x", 256<<10)
	eventually(t, 10*time.Second, "the memory is full", func() bool {
		x := publish(t, d, msgs(s, fill)...)[0]
		if x.Err != nil {
			code(t, x.Err, transport.CodeFull)
			if x.Outcome != transport.OutcomeRejected {
				t.Fatalf("outcome %v", x.Outcome)
			}
		}
		return x.Err != nil
	})
	// The client's buffer, which counts as well, shrinks by and by: make sure that it stays full.
	adm := admin(t, r.Addr)
	if err := adm.ConfigSet(t.Context(), "maxmemory", "3mb").Err(); err != nil {
		t.Fatal(err)
	}
	errs := make([]error, 2)
	c.Settle(t.Context(), []transport.Settlement{
		{Delivery: &got[0], Verb: transport.Ack, Reply: &transport.Message{Stream: tail.Address(), Lane: true, Body: []byte(fill)}},
		{Delivery: &got[1], Verb: transport.Ack},
	}, errs)
	code(t, errs[0], transport.CodeFull)
	if errs[1] != nil {
		t.Fatal(errs[1])
	}
	eventually(t, 2*time.Second, "the plain ack went through, the other not", func() bool { return lag(t, d, s).Pending == 1 })
	ok(t, settle(t, c, transport.Extend, got[0]))
	time.Sleep(presenceTTL + 200*time.Millisecond) // only signs of life given under full memory count now
	ok(t, settle(t, c, transport.Extend, got[0]))
	if l := lag(t, d, s); l.Consumers != 1 {
		t.Fatalf("the consumer counts as dead while the memory is full: %+v", l)
	}
	if err := adm.ConfigSet(t.Context(), "maxmemory", "8mb").Err(); err != nil {
		t.Fatal(err)
	}
	// Handling what waits makes room: it recovers alone, and then the reply goes out.
	eventually(t, 10*time.Second, "the reply is stored at last", func() bool {
		ds, err := c.Receive(within(t, 200*time.Millisecond), 5, []transport.Credit{{Stream: s, Max: 5}})
		if err == nil {
			ok(t, settle(t, c, transport.Ack, ds...))
		}
		ok(t, settle(t, c, transport.Extend, got[0]))
		errs := make([]error, 1)
		c.Settle(t.Context(), []transport.Settlement{{
			Delivery: &got[0], Verb: transport.Ack, Reply: &transport.Message{Stream: tail.Address(), Lane: true, Body: []byte("answer")},
		}}, errs)
		return errs[0] == nil
	})
	if b, err := tail.Receive(within(t, 2*time.Second), 1); err != nil || string(b[0]) != "answer" {
		t.Fatalf("%q, %v", b, err)
	}
}

func TestDeletedStreamIsMadeAgainUnderABlockedRead(t *testing.T) {
	d, ev := open(t)
	s := name(t)
	ensure(t, d, s)
	c := join(t, d, 0)
	adm := admin(t, shared.Addr)
	for i := range 3 {
		time.AfterFunc(50*time.Millisecond, func() { adm.Del(context.Background(), streamKey(s)) })
		nothing(t, c, s, 200*time.Millisecond)
		accepted(t, d, msgs(s, fmt.Sprint(i))...)
		got := receive(t, c, s, 1, 2*time.Second)
		ok(t, settle(t, c, transport.Ack, got...))
	}
	if ev.count(transport.EventRecreated) < 3 {
		t.Fatalf("recreated: %d", ev.count(transport.EventRecreated))
	}
	// A publisher alone makes it again as well.
	adm.Del(t.Context(), streamKey(s))
	accepted(t, d, msgs(s, "x")...)
	receive(t, c, s, 1, 2*time.Second)
}

func TestDeletedPendingEntriesAreCounted(t *testing.T) {
	d, ev := open(t)
	s := name(t)
	ensure(t, d, s)
	a, b := join(t, d, 200*time.Millisecond), join(t, d, 200*time.Millisecond)
	accepted(t, d, msgs(s, "gone", "here")...)
	got := receive(t, a, s, 2, time.Second)
	if n, err := d.Remove(t.Context(), s, []string{got[0].ID, "1-1"}); n != 1 || err != nil {
		t.Fatalf("removed %d, %v", n, err)
	}
	x := receive(t, b, s, 1, 3*time.Second)
	if string(x[0].Body) != "here" || x[0].Attempt != 2 {
		t.Fatalf("%q attempt %d", x[0].Body, x[0].Attempt)
	}
	eventually(t, 2*time.Second, "the deleted one is counted", func() bool {
		_, _ = b.Receive(within(t, 100*time.Millisecond), 1, []transport.Credit{{Stream: s, Max: 1}})
		return ev.count(transport.EventDeleted) == 1
	})
	if ev.count(transport.EventRedelivered) != 1 {
		t.Fatalf("redelivered %d", ev.count(transport.EventRedelivered))
	}
	ok(t, settle(t, b, transport.Ack, x...))
	if l := lag(t, d, s); l.Pending != 0 || l.Waiting != 0 {
		t.Fatalf("%+v", l)
	}
}
