package conformance

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/streamerson/streamerson/rpc"
)

// Rule: of 1,000 calls that are in flight at once over two clients and two workers, with bodies of random bytes (none to
// 32 KiB), each gets its own body and header back; no reply is dropped but those of requests that were
// delivered again.
func calls1000(s *system) {
	const callers = 1000
	w, v := s.local(nil), s.local(nil)
	a, seenA := s.client(nil)
	b, seenB := s.client(nil)
	clients := []*rpc.Client{a, b}
	r, fill := rand.New(rand.NewPCG(7, 1)), rand.NewChaCha8([32]byte{7})
	var bodies [callers][]byte // made before: a thousand goroutines that reckon would starve the workers of this process
	for i := range bodies {
		bodies[i] = make([]byte, r.IntN(1+r.IntN(32<<10)))
		_, _ = fill.Read(bodies[i])
	}
	var wg sync.WaitGroup
	for i, body := range bodies {
		wg.Go(func() {
			q := s.request(fnEcho, "", 8*patience)
			q.Body, q.Header = body, rpc.Header{{Name: "tag", Value: fmt.Sprint(i)}}
			resp, err := clients[i%2].Call(context.Background(), q)
			switch {
			case err != nil:
				s.Errorf("call %d of %d bytes: %v", i, len(body), err)
			case !bytes.Equal(resp.Body, body) || resp.Header.Get("tag") != fmt.Sprint(i):
				s.Errorf("call %d of %d bytes: got %d bytes tagged %q", i, len(body), len(resp.Body), resp.Header.Get("tag"))
			}
		})
	}
	wg.Wait()
	again := w.seen.get("redelivered") + v.seen.get("redelivered")
	if n := seenA.sum("reply-") + seenB.sum("reply-"); n > again {
		s.Errorf("%d replies had no call, and %d requests were delivered again: %v, %v", n, again, seenA, seenB)
	}
}
