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

// Rule: with a latency of 200 ± 100 ms each way before a client and a worker, 30 calls at once succeed and
// run once each; a handler that takes two and a half leases keeps its lease, and runs once.
func latency(s *system) {
	s.once, s.storedOnce = true, true
	p := s.hop()
	s.fix(p.Latency(200*time.Millisecond, 100*time.Millisecond))
	began := time.Now()
	s.workerVia(p)
	c, seen := s.clientVia(p)
	connected := time.Now()
	long := s.later(c, s.request(fnEffect, "long "+s.millis(systemLease*5/2), 4*patience))
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			if got := s.call(c, s.request(fnEffect, fmt.Sprintf("call%d", i), 4*patience)); got.err != nil {
				s.Errorf("call %d: %v after %v", i, got.err, got.took)
			}
		})
	}
	wg.Wait()
	if got := s.within(4*patience, long); got.err != nil {
		s.Errorf("the long call: %v after %v", got.err, got.took)
	}
	s.Logf("connected after %v; all answered after another %v", connected.Sub(began), time.Since(connected))
	if n := seen.sum("reply-"); n > 0 {
		s.Errorf("%d replies had no call: %v", n, seen)
	}
}

// Rule: when the network passes on single bytes only, each way, before a client and a worker, calls with bodies of up to 256 B of
// random bytes get their own back.
func singleBytes(s *system) {
	p := s.hop()
	s.fix(p.Slice(1))
	s.workerVia(p)
	c, _ := s.clientVia(p)
	var wg sync.WaitGroup
	for g := range 2 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(s.h.Seed, uint64(g))) //nolint:gosec // to be made again from the seed
			for i := range 5 {
				body := make([]byte, r.IntN(256))
				for j := range body {
					body[j] = byte(r.Uint32())
				}
				q := s.request(fnEcho, "", 4*patience)
				q.Body, q.Header = body, rpc.Header{{Name: "tag", Value: fmt.Sprint(g, i)}}
				resp, err := c.Call(context.Background(), q)
				if err != nil || !bytes.Equal(resp.Body, body) || resp.Header.Get("tag") != fmt.Sprint(g, i) {
					s.Errorf("call %d.%d of %d bytes: %v", g, i, len(body), err)
				}
			}
		})
	}
	wg.Wait()
}
