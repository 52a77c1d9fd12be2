package rpc

import (
	"slices"

	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
)

// Limits of a packed frame. A pack is made only of what a settlement batch holds already: it never waits.
const (
	// packMost bounds how many replies share a frame: past it the per-message cost has vanished, and what a lost or refused frame
	// costs only grows.
	packMost = 128
	// packBytes bounds a packed frame, within Capabilities.MaxBody. A caller that keeps one reply's body keeps its whole frame.
	packBytes = 64 << 10
	// packMember is the longest reply that is packed; for a longer one the copy costs more than the message.
	packMember = 8 << 10
	// packSpare is how many packed frames are kept for the next batches, 512 KiB at most: as many as a batch of some 120 replies of
	// 4 KiB makes.
	packSpare = 8
)

// packer arranges a batch of settlements so that replies to one lane share a message.
type packer struct {
	limit int // of a frame, in bytes

	// What follows belongs to the flush that is under way.
	order  []*handling            // the batch, with sharers side by side
	batch  []transport.Settlement // for each of order
	frames []*frame               // the packed frames
	spare  []*frame               // packed frames of earlier batches
	lanes  []laneReplies
	index  map[string]int // address → lanes
}

type laneReplies struct {
	address string
	replies []*handling
}

func newPacker(maxBody int) *packer {
	return &packer{limit: min(packBytes, maxBody), index: map[string]int{}}
}

// arrange fills order and batch. Settlements of one batch have no order among each other that anyone relies on.
func (p *packer) arrange(hs []*handling) {
	p.order, p.batch = p.order[:0], p.batch[:0]
	n := 0 // lanes in use
	last := -1
	for _, h := range hs {
		if !h.packable() {
			p.settle(h, h.message())
			continue
		}
		if last < 0 || p.lanes[last].address != h.replyTo {
			at, ok := p.index[h.replyTo]
			if !ok {
				if at = n; n == len(p.lanes) {
					p.lanes = append(p.lanes, laneReplies{})
				}
				p.lanes[at].address = h.replyTo
				p.index[h.replyTo] = at
				n++
			}
			last = at
		}
		p.lanes[last].replies = append(p.lanes[last].replies, h)
	}
	for i := range n {
		l := &p.lanes[i]
		for rest := l.replies; len(rest) > 0; {
			rest = rest[p.pack(l.address, rest):]
		}
		clear(l.replies)
		l.address, l.replies = "", l.replies[:0]
	}
	clear(p.index)
}

// pack settles the first of hs, all for one lane, with one message, and returns how many.
func (p *packer) pack(address string, hs []*handling) int {
	n, size := 0, packHead
	for n < len(hs) && n < packMost {
		more := hs[n].packedSize()
		if size+more > p.limit {
			break
		}
		size += more
		n++
	}
	if n < 2 {
		p.settle(hs[0], hs[0].message())
		return 1
	}
	f := p.frame(size)
	f.b = wire.AppendPack(f.b, wire.KindReplies, ID{})
	for _, h := range hs[:n] {
		if h.carries() {
			f.b = append(f.b, wire.Members(h.reply.b)...)
		} else {
			f.b = wire.AppendMember(f.b, h.reply.b)
		}
		h.packed = true
	}
	f.to(address, true)
	p.frames = append(p.frames, f)
	for _, h := range hs[:n] {
		p.settle(h, &f.msg)
	}
	return n
}

// frame returns an empty frame for size bytes. The pool's are mostly as small as one reply: to grow one costs more than the copies.
func (p *packer) frame(size int) *frame {
	f := &frame{}
	if last := len(p.spare) - 1; last >= 0 {
		f, p.spare[last] = p.spare[last], nil
		p.spare = p.spare[:last]
	}
	f.b = slices.Grow(f.b[:0], size)
	return f
}

// packHead is the length of a pack without members.
var packHead = len(wire.AppendPack(nil, wire.KindReplies, ID{}))

func (p *packer) settle(h *handling, m *transport.Message) {
	p.order = append(p.order, h)
	p.batch = append(p.batch, transport.Settlement{Delivery: h.lent(), Verb: h.verb, Delay: h.delay, Reply: m})
}

// reset gives the frames back, once the batch has been settled.
func (p *packer) reset() {
	for _, f := range p.frames {
		if f.msg = (transport.Message{}); len(p.spare) < packSpare {
			p.spare = append(p.spare, f)
		}
	}
	clear(p.frames)
	clear(p.order)
	clear(p.batch)
	p.frames = p.frames[:0]
}

// packable reports whether h's reply may share a message: its caller reads such frames, and none that it was in has failed.
func (h *handling) packable() bool {
	return h.packs && !h.alone && h.toLane() && (h.carries() || len(h.reply.b) <= packMember)
}

// packedSize is how much h's reply adds to a pack, at most.
func (h *handling) packedSize() int {
	if h.carries() {
		return len(h.reply.b) - packHead
	}
	return wire.MemberSize(len(h.reply.b))
}

// message is what h's settlement publishes by itself. Only here is a reply addressed: most travel in packs.
func (h *handling) message() *transport.Message {
	switch {
	case h.reply == nil:
		return nil
	case h.toLane():
		h.reply.to(h.replyTo, true)
	}
	return &h.reply.msg
}
