package rpc

import (
	"context"
	"sync"

	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
)

// cancelLane is the shared lane on which callers that left name their requests; every worker reads it.
const cancelLane = "cancel"

// maxPooledFrame keeps the pool from holding on to the buffers of rare large bodies.
const maxPooledFrame = 256 << 10

// frame is a pooled buffer for one encoded envelope, and the message that carries it, once it is addressed.
type frame struct {
	b   []byte
	msg transport.Message
}

var framePool = sync.Pool{New: func() any { return &frame{b: make([]byte, 0, 512)} }}

// newFrame returns an empty frame.
func newFrame() *frame {
	f := framePool.Get().(*frame)
	f.b = f.b[:0]
	return f
}

func encodeFrame(env *wire.Envelope) *frame {
	f := newFrame()
	f.b = wire.Append(f.b, env)
	return f
}

// to addresses the frame.
func (f *frame) to(stream string, lane bool) *frame {
	f.msg = transport.Message{Stream: stream, Lane: lane, Body: f.b}
	return f
}

func (f *frame) release() {
	if f.msg.Body != nil {
		f.msg = transport.Message{}
	}
	if cap(f.b) <= maxPooledFrame {
		framePool.Put(f)
	}
}

// publisher is the one place from which a client publishes.
type publisher struct {
	d        transport.Driver
	late     transport.LatePublisher // nil: the driver is none
	observer Observer
	table    *calls
	batch    *batcher[outgoing]

	// used by the flush that is under way only
	items   []outgoing
	at      []int // which of msgs each of items is in
	msgs    []transport.Message
	results []transport.Result
	packs   []*packing // those with requests in this flush
	limit   int        // of a packed frame, in bytes
}

type outgoing struct {
	stream string
	key    string
	lane   bool
	call   *call    // nil: nobody waits
	pack   *packing // nil: goes alone
	oneWay bool
	frame  *frame
}

func newPublisher(d transport.Driver, table *calls, o Observer) *publisher {
	p := &publisher{d: d, observer: o, table: table, limit: min(packBytes, d.Capabilities().MaxBody-deadHeadroom)}
	p.late, _ = d.(transport.LatePublisher)
	p.batch = newBatcher(p.flush, p.publishLate)
	return p
}

// publish encodes env and queues it; c is held until its outcome is set. alone: no other call is under way, and the caller
// can wait as long as a broker may be silent. It reports false after close.
func (p *publisher) publish(c *call, env *wire.Envelope, stream, key string, alone bool) bool {
	f := encodeFrame(env)
	o := outgoing{stream: stream, key: key, call: c, pack: c.packing, oneWay: env.Kind == wire.KindSend, frame: f}
	if alone && p.batch.addAlone(o) || !alone && p.batch.add(o) {
		return true
	}
	f.release()
	return false
}

// cancel tells the workers that nobody waits for id any more. It is a hint: nothing is lost when it gets lost.
func (p *publisher) cancel(id ID) {
	f := encodeFrame(&wire.Envelope{Kind: wire.KindCancel, ID: id, Attempt: 1})
	if !p.batch.add(outgoing{stream: transport.SharedLane(cancelLane), lane: true, frame: f}) {
		f.release()
	}
}

func (p *publisher) close() { p.batch.close() }

func (p *publisher) flush(batch []outgoing) {
	p.items, p.at, p.msgs = p.items[:0], p.at[:0], p.msgs[:0]
	for _, o := range batch {
		if o.call != nil && o.call.dropped.Load() { // its caller left before it was sent
			o.call.settle(transport.OutcomeRejected, 0)
			o.call.release()
			o.frame.release()
			continue
		}
		p.items = append(p.items, o)
		if o.pack != nil && len(o.frame.b) <= packMember {
			p.at = append(p.at, p.pack(o))
		} else {
			p.at = append(p.at, p.single(o))
		}
	}
	if len(p.msgs) == 0 {
		return
	}
	for len(p.results) < len(p.msgs) {
		p.results = append(p.results, transport.Result{})
	}
	results := p.results[:len(p.msgs)]
	clear(results)
	p.observer.Batch("publish", len(p.msgs))
	// The driver's own time limit bounds it; with a context that can end it would have to be ready to leave at any time.
	p.d.Publish(context.Background(), p.msgs, results)
	now := p.table.now()
	for i, o := range p.items {
		o.frame.release()
		if o.call != nil {
			p.outcome(o, results[p.at[i]], now)
		}
	}
	for _, k := range p.packs {
		k.reset()
	}
	p.packs = p.packs[:0]
	clear(p.items)
	clear(p.msgs)
}

// single adds o as a message of its own, and returns its place.
func (p *publisher) single(o outgoing) int {
	m := transport.Message{Stream: o.stream, Lane: o.lane, Key: o.key, Body: o.frame.b}
	if o.call != nil {
		m.DedupID = dedupID(p.d, o.call.id)
	}
	p.msgs = append(p.msgs, m)
	return len(p.msgs) - 1
}

// dedupID is made only for brokers that use it: it is a string per call.
func dedupID(d transport.Driver, id ID) string {
	if !d.Capabilities().Dedup {
		return ""
	}
	return id.String()
}

func (p *publisher) outcome(o outgoing, r transport.Result, now int64) {
	c := o.call
	defer c.release()
	if o.oneWay {
		c.settle(r.Outcome, now)
		if r.Outcome != transport.OutcomeAccepted {
			c.err = fromTransport(r.Err, r.Outcome)
		}
		c.ready <- struct{}{}
		return
	}
	c.published(r, now)
}
