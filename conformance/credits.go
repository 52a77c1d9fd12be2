package conformance

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// Rule: with 6 messages on each of n streams, no Receive returns more than max, nor more of a stream than its credit, also
// with max below the number of streams; while all wait, the first delivery is of the first stream with credit. What was not
// returned is not kept: when half came, another driver's consumer gets all the rest within 2 s, long before a lease ends (where
// Redeliver isn't claimed the rest may belong to the first consumer for as long as it lives, which then has to get it).
// Together they get each message once, with Attempt 1, for what a driver fetches too much and gives back counts none.
func credits(e *Env, n int) {
	const each = 6
	d, d2 := e.open(), e.open()
	streams := make([]string, n)
	specs := make([]transport.StreamSpec, n)
	var msgs []transport.Message
	for i := range n {
		streams[i] = e.name()
		specs[i] = transport.StreamSpec{Stream: streams[i], Groups: []string{group}}
		msgs = append(msgs, messages(streams[i], false, numbered(each))...)
	}
	e.ensure(d, specs...)
	e.ensure(d2, specs...)
	c := e.join(d, group, longLease) // before the messages are sent, for brokers that store nothing
	e.send(d, msgs...)
	c2 := c
	if d.Capabilities().Redeliver {
		c2 = e.join(d2, group, longLease)
	}
	r := rand.New(rand.NewPCG(uint64(n), 7))
	var held []transport.Delivery
	perStream := map[string]int{}
	for round := 0; len(held) < n*each/2; round++ {
		// In the first round every stream has credit 1, then 0 to 3, in random order.
		cs := make([]transport.Credit, n)
		sum := 0
		for i, j := range r.Perm(n) {
			cs[i] = transport.Credit{Stream: streams[j], Max: r.IntN(4)}
			if round == 0 {
				cs[i].Max = 1
			}
			sum += min(cs[i].Max, each-perStream[streams[j]])
		}
		if sum == 0 {
			continue
		}
		most := 1 + r.IntN(n)
		if round == 0 {
			most = max(1, n/2)
		}
		ctx, cancel := e.ctx(patience)
		ds, err := c.Receive(ctx, most, cs)
		cancel()
		if err != nil {
			e.Fatalf("with %d of %d received: %v", len(held), n*each, err)
		}
		if len(ds) > most {
			e.Errorf("Receive with max %d returned %d", most, len(ds))
		}
		if round == 0 && ds[0].Stream != cs[0].Stream {
			e.Errorf("all streams have messages, and the first delivery is not of the first one in credits")
		}
		of := map[string]int{}
		for _, x := range ds {
			of[x.Stream]++
			perStream[x.Stream]++
		}
		for _, cr := range cs {
			if of[cr.Stream] > cr.Max {
				e.Errorf("%d deliveries of a stream with credit %d", of[cr.Stream], cr.Max)
			}
		}
		held = append(held, ds...)
	}
	// The last call takes one where many wait.
	ctx, cancel := e.ctx(patience)
	defer cancel()
	ds, err := c.Receive(ctx, 1, creditsFor(1, streams...))
	if err != nil || len(ds) != 1 {
		e.Fatalf("receive with max 1: %d deliveries, %v", len(ds), err)
	}
	held = append(held, ds...)
	rest := e.receiveWithin(c2, takeover, n*each-len(held), streams...)
	got := map[string][]string{}
	for _, x := range append(slices.Clone(held), rest...) {
		got[x.Stream] = append(got[x.Stream], string(x.Body))
		if x.Attempt != 1 {
			e.Errorf("message %q of %s came with attempt %d", x.Body, x.Stream, x.Attempt)
		}
	}
	for _, s := range streams {
		if diff := sameSet(got[s], numbered(each)); diff != "" {
			e.Errorf("%s: %s", s, diff)
		}
	}
	e.ack(c, held...)
	e.ack(c2, rest...)
	for _, s := range streams {
		e.pending(d, s, group, 0)
	}
}

// Rule: of three streams with messages, where one has two of four slots for its own, the two others get two deliveries
// together, though each has a credit of two; the first one gets the two that are its own, and no Receive brings more.
func ownCredit(e *Env) {
	d := e.open()
	own, x, y := e.stream(d, group), e.stream(d, group), e.stream(d, group)
	c := e.join(d, group, longLease)
	for _, s := range []string{x, y} {
		e.publish(d, s, numbered(4)...)
	}
	held := 0
	receive := func(limit int, wait time.Duration, credits ...transport.Credit) map[string]int {
		of := map[string]int{}
		for deadline := time.Now().Add(wait); time.Now().Before(deadline) && held < limit; {
			left := limit - held
			for i := range credits {
				credits[i].Max = min(credits[i].Max, left)
			}
			ctx, cancel := context.WithTimeout(context.Background(), quiet)
			ds, err := c.Receive(ctx, left, credits)
			cancel()
			if err != nil {
				break
			}
			for _, m := range ds {
				of[m.Stream]++
				held++
				for i := range credits {
					if credits[i].Stream == m.Stream {
						credits[i].Max--
					} else if credits[i].Own == 0 && m.Stream != own {
						credits[i].Max-- // the pool is smaller for both
					}
				}
			}
			if of[x]+of[y] > 2 {
				e.Fatalf("the streams without slots of their own got %d deliveries where the pool had 2", of[x]+of[y])
			}
		}
		return of
	}
	of := receive(4, e.d(patience), transport.Credit{Stream: x, Max: 2}, transport.Credit{Stream: y, Max: 2}, transport.Credit{Stream: own, Max: 4, Own: 2})
	if of[x]+of[y] != 2 {
		e.Fatalf("got %v: want 2 of the two streams together", of)
	}
	e.publish(d, own, numbered(4)...)
	ctx, cancel := e.ctx(patience)
	defer cancel()
	ds, err := c.Receive(ctx, 2, []transport.Credit{{Stream: x}, {Stream: y}, {Stream: own, Max: 2, Own: 2}})
	if err != nil || len(ds) > 2 || ds[0].Stream != own {
		e.Fatalf("for its own slots: %d deliveries, %v", len(ds), err)
	}
}

// Rule: a stream with credit 0 is not read, however long, while another one is; and it is read as soon as it has credit.
func zeroCredit(e *Env) {
	d := e.open()
	busy, open := e.stream(d, group), e.stream(d, group)
	c := e.join(d, group, longLease)
	e.publish(d, busy, "b")
	ctx, cancel := e.ctx(quiet)
	ds, err := c.Receive(ctx, 5, []transport.Credit{{Stream: busy}, {Stream: open, Max: 5}})
	cancel()
	if err == nil {
		e.Fatalf("got %q of %s, which has no credit or no message", ds[0].Body, ds[0].Stream)
	}
	e.publish(d, open, "o")
	ctx, cancel = e.ctx(patience)
	defer cancel()
	ds, err = c.Receive(ctx, 5, []transport.Credit{{Stream: busy}, {Stream: open, Max: 5}})
	if err != nil || len(ds) != 1 || ds[0].Stream != open {
		e.Fatalf("with credit for the open stream only: %v, %v", bodiesOf(ds), err)
	}
	e.ack(c, ds...)
	if l := e.lag(d, busy, group); l.Pending > 0 {
		e.Errorf("%d entries of the stream without credit are pending", l.Pending)
	}
	e.ack(c, e.receive(c, 1, busy)...)
}

// Rule: with Receives that are cancelled after 0–3 ms again and again while 300 messages are published one by one, every
// message is returned exactly once, with Attempt 1 and long before its lease ends: nothing is lost in a cancelled call.
func cancelledReceive(e *Env) {
	const n = 300
	d := e.open()
	s := e.stream(d, group)
	c := e.join(d, group, longLease)
	want := numbered(n)
	var wg sync.WaitGroup
	wg.Go(func() {
		r := make([]transport.Result, 1)
		for i, b := range want {
			ctx, cancel := e.ctx(patience)
			if d.Publish(ctx, messages(s, false, []string{b}), r); r[0].Err != nil {
				e.Errorf("publish: %v", r[0].Err)
			}
			cancel()
			if i%3 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	})
	defer wg.Wait()
	var got []string
	chance := rand.New(rand.NewPCG(e.h.Seed, 1))
	deadline, calls := time.Now().Add(e.d(2*patience)), 0
	for len(got) < n {
		if time.Now().After(deadline) {
			e.Fatalf("got %d of %d messages in %d calls", len(got), n, calls)
		}
		calls++
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(chance.Int64N(int64(3*time.Millisecond))))
		ds, err := c.Receive(ctx, 2, creditsFor(2, s))
		if err != nil && ctx.Err() == nil {
			e.Errorf("receive: %v", err)
		}
		cancel()
		for _, x := range ds {
			got = append(got, string(x.Body))
			if x.Attempt != 1 {
				e.Errorf("message %q came with attempt %d", x.Body, x.Attempt)
			}
		}
		if len(ds) > 0 {
			e.ack(c, ds...)
		}
	}
	if diff := sameSet(got, want); diff != "" {
		e.Errorf("%s", diff)
	}
	e.pending(d, s, group, 0)
}
