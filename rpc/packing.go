package rpc

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamerson/streamerson/rpc/wire"
)

const (
	// PackSpan bounds how long a packed request may keep a worker, by what its stream's handlers took lately: a pack has as many
	// members as fit, so that none waits much longer for those before it. Where handlers take longer than half of it, all go alone.
	PackSpan = time.Millisecond
	// packRequests bounds the requests of a pack: past it a call's share of a message is next to nothing, and what a lost worker
	// costs only grows.
	packRequests = 32
)

// packings is what a client knows of the streams that it may pack requests to.
type packings struct {
	streams sync.Map                // string → *packing
	last    atomic.Pointer[packing] // spares most clients the look-up
}

func (p *packings) of(stream string) *packing {
	if k := p.last.Load(); k != nil && k.stream == stream {
		return k
	}
	v, ok := p.streams.Load(stream)
	if !ok {
		stream = strings.Clone(stream)
		k := &packing{stream: stream}
		k.usual.Store(int64(PackSpan)) // nothing is known: alone
		v, _ = p.streams.LoadOrStore(stream, k)
	}
	k := v.(*packing)
	p.last.Store(k)
	return k
}

// packing is one stream's.
type packing struct {
	stream string
	// usual is how long a handler may be expected to take, in nanoseconds. It rises fast and falls slowly, so that a few long ones
	// among many short ones count.
	usual atomic.Int64

	// The pack that is being made; touched by the publisher's flush only.
	at     int      // its message
	n, max int      // its requests, and the most; n 0: none is being made
	frames []*frame // all packs of this flush
}

// took learns from a handler's time. A lost update of two at once is no matter.
func (k *packing) took(d time.Duration) {
	usual := k.usual.Load()
	step := (int64(d) - usual) / 64
	if step > 0 {
		step *= 8
	}
	if step != 0 {
		k.usual.Store(usual + step)
	}
}

// most is how many requests may share a message now.
func (k *packing) most() int {
	return int(min(max(int64(PackSpan)/max(k.usual.Load(), 1), 1), packRequests))
}

// pack adds o to the pack of its stream, or begins one, and returns its message's place.
func (p *publisher) pack(o outgoing) int {
	k := o.pack
	if k.n == 0 || k.n == k.max {
		return p.begin(k, o)
	}
	m := &p.msgs[k.at]
	if k.n == 1 {
		if packHead+wire.MemberSize(len(m.Body))+wire.MemberSize(len(o.frame.b)) > p.limit {
			return p.begin(k, o)
		}
		id, f := NewID(), newFrame()
		f.b = wire.AppendMember(wire.AppendPack(f.b, wire.KindRequests, id), m.Body)
		k.frames = append(k.frames, f)
		m.DedupID = dedupID(p.d, id)
	}
	f := k.frames[len(k.frames)-1]
	if len(f.b)+wire.MemberSize(len(o.frame.b)) > p.limit {
		return p.begin(k, o)
	}
	f.b = wire.AppendMember(f.b, o.frame.b)
	m.Body = f.b
	k.n++
	return k.at
}

// begin makes o a message of its own, which the next may join.
func (p *publisher) begin(k *packing, o outgoing) int {
	if len(k.frames) == 0 && k.n == 0 {
		p.packs = append(p.packs, k)
	}
	k.n, k.max = 1, k.most()
	k.at = p.single(o)
	return k.at
}

// reset ends a flush.
func (k *packing) reset() {
	for _, f := range k.frames {
		f.release()
	}
	clear(k.frames)
	k.frames, k.n = k.frames[:0], 0
}
