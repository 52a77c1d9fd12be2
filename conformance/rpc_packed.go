package conformance

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/streamerson/streamerson/rpc"
)

// Rule: of 4,096 calls with Pack to a quick function, 256 at once, over two workers, each gets its own body and header back, and so
// does each of those without Pack and of those with a Key that are made beside them; calls share messages, at the latest when
// the client has made some thousands more; nothing is left on the stream, and no reply is dropped but those of requests that were
// delivered again.
func packedCalls(s *system) {
	const rounds, callers, each = 4, 256, 16
	w, v := s.local(nil), s.local(nil)
	c, seen := s.client(nil)
	alone, aloneSeen := s.client(nil)
	var bodies [callers][]byte // the end of each is the call's own
	r, fill := rand.New(rand.NewPCG(7, 2)), rand.NewChaCha8([32]byte{9})
	for i := range bodies {
		bodies[i] = make([]byte, 32+r.IntN(256))
		_, _ = fill.Read(bodies[i])
	}
	call := func(c *rpc.Client, pack bool, key, tag string, body []byte) {
		q := s.request(fnEcho, "", 8*patience)
		q.Body, q.Header, q.Pack, q.Key = append(body[:len(body):len(body)], tag...), rpc.Header{{Name: "tag", Value: tag}}, pack, key
		resp, err := c.Call(context.Background(), q)
		switch {
		case err != nil:
			s.Errorf("call %s: %v", tag, err)
		case !bytes.Equal(resp.Body, q.Body) || resp.Header.Get("tag") != tag:
			s.Errorf("call %s of %d bytes: got %d bytes tagged %q", tag, len(q.Body), len(resp.Body), resp.Header.Get("tag"))
		}
	}
	calls, shared := 0, false
	for round := 0; round < rounds && !shared && !s.Failed(); round++ {
		var wg sync.WaitGroup
		for i, body := range bodies {
			wg.Go(func() {
				for n := range each {
					call(c, true, "", fmt.Sprintf("%d.%d.%d", round, i, n), body)
				}
			})
		}
		for i := range 8 {
			wg.Go(func() {
				for n := range each {
					call(alone, true, "key"+itoa(i), fmt.Sprintf("%d.key%d.%d", round, i, n), bodies[i])
					call(alone, false, "", fmt.Sprintf("%d.alone%d.%d", round, i, n), bodies[i])
				}
			})
		}
		wg.Wait()
		calls += callers * each
		shared = seen.get("batched-publish") < calls
	}
	s.Logf("%d calls by %d messages", calls, seen.get("batched-publish"))
	if !shared {
		s.Errorf("%d calls with Pack made %d messages: none was shared", calls, seen.get("batched-publish"))
	}
	if n, want := aloneSeen.get("batched-publish"), calls/(callers*each)*8*each*2; n != want {
		s.Errorf("%d calls without Pack or with a Key made %d messages", want, n)
	}
	s.drained()
	again := w.seen.get("redelivered") + v.seen.get("redelivered")
	if n := seen.sum("reply-") + aloneSeen.sum("reply-"); n > again {
		s.Errorf("%d replies had no call, and %d requests were delivered again: %v, %v", n, again, seen, aloneSeen)
	}
}

// Rule: when the callers of two requests of a pack stop waiting, one of which runs and one of which waits behind it, the context of the first
// ends within 2 s with the cause that the caller has gone, and the second never runs; the others of the pack are answered.
func packedCallerGone(s *system) {
	w := s.local(nil)
	c, _, b := s.bundler()
	gone := map[string]context.CancelFunc{}
	in := func(r *rpc.Request) context.Context {
		ctx, cancel := context.WithCancel(context.Background())
		s.atEnd(cancel)
		gone[nameOf(r)] = cancel
		return ctx
	}
	const timeout = 8 * patience
	all := s.packedIn(in, c, b, s.request(fnEffect, "first", timeout), s.request(fnWatch, "watching "+s.millis(timeout), timeout),
		s.request(fnEffect, "waiting", timeout), s.request(fnEffect, "last", timeout))
	s.until(patience, "the watching call to begin", func() bool { return s.ledger.beganTimes("watching") == 1 })
	gone["waiting"]() // one after the other: a worker hears of them in this order
	if got := s.within(patience, all[2]); rpc.CodeOf(got.err) != rpc.CodeCanceled {
		s.Errorf("the cancelled call that waited: %v", got)
	}
	gone["watching"]()
	if got := s.within(patience, all[1]); rpc.CodeOf(got.err) != rpc.CodeCanceled {
		s.Errorf("the cancelled call that ran: %v", got)
	}
	w.await("cause-"+rpc.ErrCallerGone.Error(), 1, 2*time.Second)
	for i, name := range map[int]string{0: "first", 3: "last"} {
		if got := s.within(patience, all[i]); got.err != nil || string(got.resp.Body) != name {
			s.Errorf("the %s call: %v", name, got)
		}
	}
	s.drained()
	if n := s.ledger.beganTimes("waiting"); n != 0 {
		s.Errorf("a request that nobody waited for began %d times", n)
	}
	w.await("expired-canceled", 1, patience)
}
