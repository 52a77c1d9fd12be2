package nats

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/streamerson/streamerson/transport"
)

const (
	// lateWait is how long after its first message a batch asks for its outcomes. The lone calls that follow each other on one
	// connection are some twenty in that time.
	lateWait = 10 * time.Millisecond
	// lateMost is how many messages a batch has at most; it asks at once then.
	lateMost = 256
	// lateFree bounds how many batches are kept to be used again.
	lateFree = 4
)

// lates publishes to core NATS without waiting for outcomes. All messages of lateWait share one message to ourselves, which tells
// that they are accepted when it has come back; that nobody listens to one of them the server says by itself.
type lates struct {
	d *Driver

	mu      sync.Mutex
	closed  bool
	filling *lateBatch // the one that takes messages, if any
	open    map[*lateBatch]bool
	free    []*lateBatch
}

// lateBatch is the messages that are confirmed together. What is not about its subjects is guarded by the mutex of lates.
type lateBatch struct {
	l *lates
	replySubjects
	dial uint64 // the connection that its messages go to
	msgs []lateMsg
	// sending is how many of msgs the client library doesn't have yet: the question has to go behind them.
	sending int
	full    bool      // takes no more
	until   time.Time // when the question is given up; zero until it is asked
	timer   *time.Timer
}

type lateMsg struct {
	to     transport.Late // nil once it was told
	stream string
	lane   bool
}

func newLates(d *Driver) *lates { return &lates{d: d, open: map[*lateBatch]bool{}} }

// PublishLate implements transport.LatePublisher for what core NATS carries: lanes, and all in core mode. A PubAck comes by itself.
func (d *Driver) PublishLate(m *transport.Message, to transport.Late) bool {
	if !m.Lane && !d.set.core || d.isClosed() || d.checkSize(m) != nil {
		return false
	}
	subject, err := d.subjectOf(m)
	return err == nil && d.lates.publish(m, subject, to)
}

func (l *lates) publish(m *transport.Message, subject string, to transport.Late) bool {
	l.mu.Lock()
	b := l.filling
	if b == nil {
		if b = l.begin(); b == nil {
			l.mu.Unlock()
			return false
		}
	}
	i := len(b.msgs)
	b.msgs = append(b.msgs, lateMsg{to, m.Stream, m.Lane})
	if b.sending++; len(b.msgs) == lateMost {
		b.close()
	}
	reply := b.subject(i + 1)
	l.mu.Unlock()
	err := l.d.nc.PublishRequest(subject, reply, m.Body)
	l.mu.Lock()
	sent := true
	if b.sending--; err != nil {
		sent = b.msgs[i].to == nil // it was told already that it is unknown
		b.msgs[i].to = nil
	}
	ask := b.complete()
	l.mu.Unlock()
	if ask {
		b.ask()
	}
	return sent
}

// begin makes the batch that is filled next, nil without a connection. The caller holds the lock.
func (l *lates) begin() *lateBatch {
	if _, up := l.d.link.current(); !up || l.closed {
		return nil
	}
	var b *lateBatch
	if last := len(l.free) - 1; last >= 0 {
		b, l.free = l.free[last], l.free[:last]
	} else {
		b = &lateBatch{l: l, replySubjects: l.d.mux.subjects()}
	}
	b.dial = l.d.dials.Load()
	l.d.mux.listen(b.id, b)
	l.open[b], l.filling = true, b
	if b.timer == nil {
		b.timer = time.AfterFunc(lateWait, b.due)
	} else {
		b.timer.Reset(lateWait)
	}
	return b
}

// close ends the filling of b. The caller holds the lock.
func (b *lateBatch) close() {
	b.full = true
	if b.l.filling == b {
		b.l.filling = nil
	}
}

// complete reports, once, that b takes no more and the client library has all that it took. The caller holds the lock, and asks.
func (b *lateBatch) complete() bool {
	if !b.full || b.sending > 0 || !b.until.IsZero() || !b.l.open[b] {
		return false
	}
	b.until = time.Now().Add(b.l.d.set.timeout)
	b.timer.Reset(b.l.d.set.timeout)
	return true
}

// ask sends the message to ourselves.
func (b *lateBatch) ask() {
	if err := b.l.d.nc.Publish(b.subject(0), nil); err != nil {
		b.l.end(b, connectionLost)
	}
}

// due is called by the timer: it is time to ask, or to give up.
func (b *lateBatch) due() {
	l := b.l
	l.mu.Lock()
	if !b.until.IsZero() {
		over := !time.Now().Before(b.until)
		l.mu.Unlock()
		if over {
			l.end(b, tookTooLong)
		}
		return
	}
	b.close()
	ask := b.complete()
	l.mu.Unlock()
	if ask {
		b.ask()
	}
}

// answer implements receiver.
func (b *lateBatch) answer(place int, msg *natsgo.Msg) {
	l := b.l
	if place == 0 {
		l.end(b, allCame)
		return
	}
	if !noResponders(msg) {
		return
	}
	l.mu.Lock()
	var m lateMsg
	if place <= len(b.msgs) {
		m, b.msgs[place-1].to = b.msgs[place-1], nil
	}
	l.mu.Unlock()
	if m.to != nil {
		m.to.Told(rejected(l.d.nobody(&transport.Message{Stream: m.stream, Lane: m.lane})))
	}
}

// end tells all outcomes of b that are not told yet: accepted when its question has come back, if all went over one connection.
func (l *lates) end(b *lateBatch, why ending) {
	if why == allCame && l.d.dials.Load() != b.dial {
		why = connectionLost
	}
	l.mu.Lock()
	if !l.open[b] {
		l.mu.Unlock()
		return
	}
	delete(l.open, b)
	b.close()
	b.timer.Stop()
	l.d.mux.forget(b.id)
	told := b.msgs
	if b.msgs = nil; b.sending > 0 { // their senders look again
		b.msgs, told = make([]lateMsg, len(told)), slices.Clone(told)
	}
	l.mu.Unlock()
	for _, m := range told {
		switch {
		case m.to == nil:
		case why == allCame:
			m.to.Told(transport.Result{Outcome: transport.OutcomeAccepted})
		default:
			m.to.Told(unknown(context.Background(), m.stream, why))
		}
	}
	if why != allCame { // an answer may come to its subjects still
		return
	}
	clear(told)
	l.mu.Lock()
	if len(l.free) < lateFree {
		b.msgs, b.full, b.until = told[:0], false, time.Time{}
		l.free = append(l.free, b)
	}
	l.mu.Unlock()
}

// endAll tells all outcomes that are not told yet.
func (l *lates) endAll(why ending) {
	l.mu.Lock()
	open := slices.Collect(maps.Keys(l.open))
	l.mu.Unlock()
	for _, b := range open {
		l.end(b, why)
	}
}

// hurry asks at once for what is not told yet; done also says that nothing more is taken.
func (l *lates) hurry(done bool) {
	l.mu.Lock()
	l.closed = l.closed || done
	b := l.filling
	ask := false
	if b != nil {
		b.close()
		ask = b.complete()
	}
	l.mu.Unlock()
	if ask {
		b.ask()
	}
}
