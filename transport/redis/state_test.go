package redis

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/transport"
)

func TestConnectionsStayThreeForAnyNumberOfStreams(t *testing.T) {
	for _, n := range []int{1, 50, 1000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := own(t, brokers.RedisConfig{})
			d := openWith(t, r.URL, transport.Options{})
			streams, credits := make([]string, n), make([]transport.Credit, n)
			for i := range n {
				streams[i] = fmt.Sprint("s", i)
				credits[i] = transport.Credit{Stream: streams[i], Max: 4}
			}
			ensure(t, d, streams...)
			tail, err := d.Tail(t.Context(), transport.TailSpec{})
			if err != nil {
				t.Fatal(err)
			}
			shared, err := d.Tail(t.Context(), transport.TailSpec{Name: "all", Shared: true})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var readers sync.WaitGroup
			defer readers.Wait()
			defer cancel()
			for _, tl := range []transport.Tailer{tail, shared} {
				readers.Go(func() {
					for ctx.Err() == nil {
						_, _ = tl.Receive(ctx, 10)
					}
				})
			}
			c := join(t, d, 0)
			adm := admin(t, r.Addr)
			for round := range 3 {
				for i := 0; i < n; i += max(1, n/10) {
					accepted(t, d, msgs(streams[i], fmt.Sprint(i))...)
				}
				for got := 0; got < (n+max(1, n/10)-1)/max(1, n/10); {
					ds, err := c.Receive(within(t, 5*time.Second), 32, credits)
					if err != nil {
						t.Fatalf("round %d: %v", round, err)
					}
					batch, errs := make([]transport.Settlement, len(ds)), make([]error, len(ds))
					for i := range ds {
						batch[i] = transport.Settlement{Delivery: &ds[i], Verb: transport.Ack, Reply: &transport.Message{Stream: tail.Address(), Lane: true}}
					}
					c.Settle(t.Context(), batch, errs)
					ok(t, errs)
					got += len(ds)
				}
				list := adm.ClientList(t.Context()).Val()
				if k := strings.Count(list, "name=streamerson"); k > 3 || k < 2 {
					t.Fatalf("%d connections:\n%s", k, list)
				}
			}
			if l := lag(t, d, streams[n-1]); l.Consumers != 1 {
				t.Fatalf("%d live consumers", l.Consumers)
			}
		})
	}
}

func TestPresenceFollowsTheConsumer(t *testing.T) {
	d, _ := open(t)
	s, other := name(t), name(t)+".o"
	ensure(t, d, s, other)
	if l := lag(t, d, s); l.Consumers != 0 {
		t.Fatalf("%+v", l)
	}
	c := join(t, d, 0)
	busy := []transport.Credit{{Stream: s, Max: 0}, {Stream: other, Max: 0}}
	_, err := c.Receive(within(t, 20*time.Millisecond), 1, busy)
	code(t, err, transport.CodeTimeout)
	eventually(t, time.Second, "live without credit", func() bool { return lag(t, d, s).Consumers == 1 })
	time.Sleep(2500 * time.Millisecond) // longer than a sign of life lasts, and no Receive
	if l := lag(t, d, s); l.Consumers != 1 {
		t.Fatal("a busy consumer counts as dead")
	}
	_, _ = c.Receive(within(t, 20*time.Millisecond), 1, busy[:1])
	eventually(t, time.Second, "it left the other stream", func() bool { return lag(t, d, other).Consumers == 0 })
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l := lag(t, d, s); l.Consumers != 0 {
		t.Fatal("a closed consumer counts as live")
	}
}

func TestTrimKeepsWhatTheSlowestGroupNeeds(t *testing.T) {
	d, ev := open(t)
	s := name(t)
	if err := d.Ensure(t.Context(), []transport.StreamSpec{{Stream: s, Groups: []string{group, "audit"}}}); err != nil {
		t.Fatal(err)
	}
	var in []string
	for i := range 100 {
		in = append(in, fmt.Sprintf("%03d", i))
	}
	accepted(t, d, msgs(s, in...)...)
	c := join(t, d, 0)
	all := receive(t, c, s, 100, 5*time.Second)
	ok(t, settle(t, c, transport.Ack, all...))
	time.Sleep(1500 * time.Millisecond)
	x, err := d.Join(t.Context(), transport.Subscription{Group: "audit"})
	if err != nil {
		t.Fatal(err)
	}
	got := receive(t, x, s, 100, 5*time.Second)
	if b := bodies(got); b[0] != "000" || b[99] != "099" {
		t.Fatalf("the second group got %d: %v…", len(b), b[0])
	}
	// All but the 50th are acked: from there on everything stays, whatever the other group has.
	ok(t, settle(t, x, transport.Ack, got[:50]...))
	ok(t, settle(t, x, transport.Ack, got[51:]...))
	adm := admin(t, shared.Addr)
	eventually(t, 3*time.Second, "what both have settled is gone", func() bool { return adm.XLen(t.Context(), streamKey(s)).Val() == 50 })
	ok(t, settle(t, x, transport.Ack, got[50]))
	eventually(t, 3*time.Second, "then all is gone", func() bool { return adm.XLen(t.Context(), streamKey(s)).Val() == 0 })
	if n := ev.count(transport.EventTrimmed); n != 100 {
		t.Fatalf("trimmed %d", n)
	}
}

func TestLagCountsAfterEntriesWereDeleted(t *testing.T) {
	d, _ := open(t)
	s := name(t)
	ensure(t, d, s)
	accepted(t, d, msgs(s, "a", "b", "c", "d", "e")...)
	all, err := d.Browse(t.Context(), s, "", 10)
	if err != nil || len(all) != 5 {
		t.Fatalf("%d, %v", len(all), err)
	}
	c := join(t, d, 0)
	receive(t, c, s, 1, time.Second)
	if _, err := d.Remove(t.Context(), s, []string{all[2].ID}); err != nil {
		t.Fatal(err)
	}
	if l := lag(t, d, s); l.Waiting != 3 || l.Pending != 1 || l.Oldest <= 0 {
		t.Fatalf("%+v", l)
	}
	_, err = d.Lag(t.Context(), s, "nobody")
	code(t, err, transport.CodeNotFound)
}

func TestMaxBacklogRefusesUntilThereIsRoom(t *testing.T) {
	d, _ := open(t)
	s := name(t)
	if err := d.Ensure(t.Context(), []transport.StreamSpec{{Stream: s, Groups: []string{group}, MaxBacklog: 10}}); err != nil {
		t.Fatal(err)
	}
	in := make([]string, 15)
	refused := 0
	for _, r := range publish(t, d, msgs(s, in...)...) {
		if r.Err != nil {
			code(t, r.Err, transport.CodeFull)
			refused++
		}
	}
	r := publish(t, d, msgs(s, "more")...)[0]
	code(t, r.Err, transport.CodeFull)
	c := join(t, d, 0)
	got := receive(t, c, s, 15-refused, time.Second)
	code(t, publish(t, d, msgs(s, "more")...)[0].Err, transport.CodeFull) // pending ones count
	ok(t, settle(t, c, transport.Ack, got...))
	eventually(t, time.Second, "there is room", func() bool { return publish(t, d, msgs(s, "more")...)[0].Err == nil })
}

func TestLaneIsCappedLeasedTrimmedAndMadeAgain(t *testing.T) {
	d, ev := open(t)
	tl, err := d.Tail(t.Context(), transport.TailSpec{Name: "gw", MaxLen: 2000})
	if err != nil {
		t.Fatal(err)
	}
	adm, key := admin(t, shared.Addr), tl.Address()
	lm := func(b string) transport.Message { return transport.Message{Stream: key, Lane: true, Body: []byte(b)} }
	batch := make([]transport.Message, 1000)
	for i := range batch {
		batch[i] = lm("x")
	}
	for range 4 {
		accepted(t, d, batch...)
	}
	if n := adm.XLen(t.Context(), key).Val(); n > 2000 {
		t.Fatalf("the lane holds %d", n)
	}
	if ttl := adm.PTTL(t.Context(), key).Val(); ttl <= 0 || ttl > laneTTL {
		t.Fatalf("the lane's lease is %v", ttl)
	}
	adm.PExpire(t.Context(), key, 1500*time.Millisecond)
	eventually(t, 1400*time.Millisecond, "the lease is renewed", func() bool { return adm.PTTL(t.Context(), key).Val() > 10*time.Second })
	eventually(t, 3*time.Second, "all is read and trimmed", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, _ = tl.Receive(ctx, 5000)
		return adm.XLen(t.Context(), key).Val() == 0
	})
	adm.Del(t.Context(), key)
	code(t, publish(t, d, lm("lost"))[0].Err, transport.CodeNotFound)
	eventually(t, 2*time.Second, "the lane is made again", func() bool { return publish(t, d, lm("again"))[0].Err == nil })
	b, err := tl.Receive(within(t, time.Second), 10)
	if err != nil || string(b[0]) != "again" {
		t.Fatalf("%q, %v", b, err)
	}
	if ev.count(transport.EventRecreated) != 1 {
		t.Fatal("no event")
	}
	if err := tl.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if adm.Exists(t.Context(), key).Val() != 0 {
		t.Fatal("a closed lane is left")
	}
}

func TestClosedConsumerLeavesNothingBehind(t *testing.T) {
	d, _ := open(t)
	s := name(t)
	ensure(t, d, s)
	adm := admin(t, shared.Addr)
	members := func() []goredis.XInfoConsumer { return adm.XInfoConsumers(t.Context(), streamKey(s), group).Val() }
	a := join(t, d, 0)
	accepted(t, d, msgs(s, "1", "2")...)
	got := receive(t, a, s, 2, time.Second)
	ok(t, settle(t, a, transport.Ack, got[0])) // not sent yet
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m := members(); len(m) != 1 || m[0].Pending != 1 {
		t.Fatalf("a consumer that holds something must stay: %+v", m)
	}
	b := join(t, d, 0)
	x := receive(t, b, s, 1, time.Second)
	if string(x[0].Body) != "2" || x[0].Attempt != 2 {
		t.Fatalf("%q attempt %d", x[0].Body, x[0].Attempt)
	}
	ok(t, settle(t, b, transport.Ack, x...))
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m := members(); len(m) != 1 || m[0].Pending != 0 {
		t.Fatalf("%+v", m)
	}
	if _, err := d.eval(t.Context(), "reap", s, call{script: reapScript, keys: []string{streamKey(s)}, args: []any{0}}); err != nil {
		t.Fatal(err)
	}
	if m := members(); len(m) != 0 {
		t.Fatalf("the dead consumer was not reaped: %+v", m)
	}
}

func TestPipelinesAndBodiesAreBounded(t *testing.T) {
	d, _ := open(t)
	s := name(t)
	ensure(t, d, s)
	big := make([]byte, 3<<20)
	m := make([]transport.Message, 5)
	for i := range m {
		m[i] = transport.Message{Stream: s, Body: big}
	}
	m[2].Body = make([]byte, maxBody+1)
	res := publish(t, d, m...)
	for i, r := range res {
		if i == 2 {
			code(t, r.Err, transport.CodeTooLarge)
		} else if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if n := admin(t, shared.Addr).XLen(t.Context(), streamKey(s)).Val(); n != 4 {
		t.Fatalf("%d stored", n)
	}
	accepted(t, d, transport.Message{Stream: s, Body: make([]byte, maxBody)})
	admin(t, shared.Addr).Del(t.Context(), streamKey(s))
}
