package conformance

import (
	"context"
	"slices"
	"sync"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
)

// bundling is a client's driver that makes one pack of as many requests as it was told to wait for. What a client packs by itself
// depends on what happens to be published at the same moment; a scenario about the middle of a pack has to know what is in it.
type bundling struct {
	transport.Driver

	mu   sync.Mutex
	want int // 0: everything goes through
	held [][]byte
	sent transport.Result // the pack's
}

// Publish says of what it holds that it was accepted, as far as a call's sender wants to know.
func (d *bundling) Publish(ctx context.Context, msgs []transport.Message, results []transport.Result) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, m := range msgs {
		if m.Lane || d.want == 0 {
			d.Driver.Publish(ctx, msgs[i:i+1], results[i:i+1])
			continue
		}
		results[i] = transport.Result{Outcome: transport.OutcomeAccepted}
		if d.held = append(d.held, slices.Clone(m.Body)); len(d.held) < d.want {
			continue
		}
		var r [1]transport.Result
		d.Driver.Publish(ctx, []transport.Message{{Stream: m.Stream, Body: packOf(d.held...)}}, r[:])
		d.want, d.held, d.sent = 0, nil, r[0]
	}
}

// waiting is how many requests are held, and holds whether more are waited for.
func (d *bundling) waiting() (n int, holds bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.held), d.want > 0
}

// packOf is a pack of requests with these members.
func packOf(members ...[]byte) []byte {
	pack := wire.AppendPack(nil, wire.KindRequests, rpc.NewID())
	for _, m := range members {
		pack = wire.AppendMember(pack, m)
	}
	return pack
}

// bundler makes a client whose calls packed can make a pack of.
func (s *system) bundler() (*rpc.Client, *counts, *bundling) {
	s.Helper()
	d, r := s.recorded("bundler" + itoa(s.number()))
	b := &bundling{Driver: d}
	c, seen := s.clientOn(b, r.Client)
	return c, seen, b
}

// packed makes these calls with one message, which has them in this order.
func (s *system) packed(c *rpc.Client, b *bundling, rs ...*rpc.Request) []<-chan answer {
	s.Helper()
	return s.packedIn(func(*rpc.Request) context.Context { return context.Background() }, c, b, rs...)
}

// packedIn is packed with a context for each call.
func (s *system) packedIn(ctx func(*rpc.Request) context.Context, c *rpc.Client, b *bundling, rs ...*rpc.Request) []<-chan answer {
	s.Helper()
	b.mu.Lock()
	b.want = len(rs)
	b.mu.Unlock()
	all := make([]<-chan answer, len(rs))
	for i, r := range rs {
		all[i] = s.laterIn(ctx(r), c, r)
		s.until(patience, "a request to be published", func() bool {
			n, holds := b.waiting()
			return n == i+1 || !holds
		})
	}
	if b.sent.Outcome != transport.OutcomeAccepted {
		s.Fatalf("the pack was not accepted: %v, %v", b.sent.Outcome, b.sent.Err)
	}
	return all
}
