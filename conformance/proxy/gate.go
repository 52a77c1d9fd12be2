package proxy

import (
	"bytes"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
)

// Strike is what happens, once, when a marked message passes on its way to the broker.
type Strike uint8

// The strikes.
const (
	// LoseAnswer lets the broker have the message, drops all that it says from then on, and ends all connections.
	LoseAnswer Strike = iota + 1
	// LoseMessage resets all connections before the broker sees anything of the message.
	LoseMessage
	// CutMessage lets the broker have half of the message, and resets all connections.
	CutMessage
)

const (
	// answerTime is how long LoseAnswer leaves the connections open: a broker that is slower has the message all the same, for
	// they are closed in an orderly way.
	answerTime = 100 * time.Millisecond
	// writeTime is how long CutMessage waits until the half is written.
	writeTime = 20 * time.Millisecond
)

// gate is a toxic of our own, in both directions of all connections of one proxy.
type gate struct {
	silent atomic.Bool // drops everything
	// born counts the strikes; what the broker says on connections that were made before the strike number muted is dropped.
	born, muted atomic.Int64
	cut         func(reset bool)
	wait        sync.WaitGroup
	struck      atomic.Int32

	mu     sync.Mutex
	mark   []byte
	strike Strike
}

// gateType is the name of the toxic.
const gateType = "conformance-gate"

// gates are found by name: toxiproxy makes its toxics itself, from JSON.
var gates sync.Map

var registerGate = sync.OnceFunc(func() { toxics.Register(gateType, new(gateToxic)) })

func newGate(cut func(reset bool)) (*gate, string) {
	registerGate()
	g, name := &gate{cut: cut}, rand.Text()
	gates.Store(name, g)
	return g, name
}

func (g *gate) close() { g.wait.Wait() }

// Arm makes the next chunk of bytes that holds mark, from a client to the broker, suffer s. Mark the middle of a small message: one
// that comes in several chunks is found only if the mark is in one of them.
func (p *Proxy) Arm(mark string, s Strike) {
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	p.gate.mark, p.gate.strike = []byte(mark), s
}

// Struck is how many marked messages have passed.
func (p *Proxy) Struck() int { return int(p.gate.struck.Load()) }

// gateToxic is the gate as toxiproxy knows it.
type gateToxic struct {
	Gate       string `json:"gate"`
	Downstream bool   `json:"downstream"`
}

// Pipe implements toxics.Toxic.
func (t *gateToxic) Pipe(stub *toxics.ToxicStub) {
	v, _ := gates.Load(t.Gate)
	g, ok := v.(*gate)
	l := link{downstream: t.Downstream}
	for {
		select {
		case <-stub.Interrupt:
			return
		case c := <-stub.Input:
			if c == nil {
				stub.Close()
				return
			}
			if !ok || g.pass(&l, c) {
				stub.Output <- c
			}
		}
	}
}

// link is one direction of one connection.
type link struct {
	downstream bool
	struck     bool // nothing passes any more: a part of a message is missing
}

// pass reports whether the chunk goes on; it may be cut.
func (g *gate) pass(l *link, c *stream.StreamChunk) bool {
	if l.struck || g.silent.Load() {
		return false
	}
	if l.downstream {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	at := -1
	if g.strike != 0 {
		at = bytes.Index(c.Data, g.mark)
	}
	if at < 0 {
		return true
	}
	s := g.strike
	g.strike = 0
	g.struck.Add(1)
	switch s {
	case LoseAnswer:
		g.muted.Store(g.born.Add(1))
		g.later(answerTime, func() { g.cut(false) })
		return true
	case CutMessage:
		l.struck = true
		c.Data = c.Data[:at+len(g.mark)/2]
		g.later(writeTime, func() { g.cut(true) })
		return true
	default:
		l.struck = true
		g.later(0, func() { g.cut(true) })
		return false
	}
}

func (g *gate) later(d time.Duration, do func()) {
	g.wait.Go(func() {
		time.Sleep(d)
		do()
	})
}
