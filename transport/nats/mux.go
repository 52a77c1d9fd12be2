package nats

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
)

// mux is the one inbox of a driver: all answers that it waits for (PubAcks, no-responders, confirmations) come to one
// subscription, PREFIX.BATCH.INDEX, and are found by one map look-up per batch. nats.go's own request multiplexer takes a
// channel, a timer and a map entry for each message.
type mux struct {
	nc     *natsgo.Conn
	prefix string // with its last dot
	sub    *natsgo.Subscription

	mu      sync.Mutex
	last    uint64
	flights map[uint64]receiver
	// free are flights to which all answers have come: nothing can come to their subjects any more, so the next batch may have
	// them. A server finds a subject that it has routed before much sooner.
	free []*flight
}

// maxFree bounds how many flights are kept, and maxFreeLen of how many messages each.
const (
	maxFree    = 16
	maxFreeLen = 1024
)

// receiver is a batch that is under way.
type receiver interface {
	// answer is called by the inbox's goroutine, which it must not hold up. place may be any number.
	answer(place int, msg *natsgo.Msg)
}

// replySubjects are where a batch's answers go: the barrier's to place 0, and message i's to place i+1.
type replySubjects struct {
	id     uint64
	prefix string
	made   []string
}

// flight is one batch of messages whose answers are waited for together. One goroutine fills it, waits and closes it.
type flight struct {
	m *mux
	replySubjects
	lost  <-chan struct{} // closed when the connection breaks
	timer *time.Timer     // nil until the first wait

	mu      sync.Mutex
	answers []*natsgo.Msg
	counts  []bool // whether an answer to that place is waited for
	left    int
	spent   bool          // its subjects can't be used again
	done    chan struct{} // gets one signal when all expected answers have come
}

// barrierIndex is that of the message to ourselves, beside those of a batch's messages. Nobody else ever sends to its place.
const barrierIndex = -1

func newMux(nc *natsgo.Conn, prefix string) (*mux, error) {
	m := &mux{nc: nc, prefix: prefix + ".", flights: map[uint64]receiver{}}
	var err error
	if m.sub, err = nc.Subscribe(prefix+".*.*", m.deliver); err != nil {
		return nil, err
	}
	// What waits here belongs to batches that are bounded above, and a dropped PubAck would be an unknown outcome.
	return m, m.sub.SetPendingLimits(-1, -1)
}

func (m *mux) deliver(msg *natsgo.Msg) {
	batch, index, ok := strings.Cut(strings.TrimPrefix(msg.Subject, m.prefix), ".")
	id, err := strconv.ParseUint(batch, 36, 64)
	i, err2 := strconv.Atoi(index)
	if !ok || err != nil || err2 != nil {
		return
	}
	m.mu.Lock()
	f := m.flights[id]
	m.mu.Unlock()
	if f != nil {
		f.answer(i, msg)
	}
}

// open begins a batch of n messages; nothing is waited for yet. The caller closes it.
func (m *mux) open(n int, lost <-chan struct{}) *flight {
	m.mu.Lock()
	defer m.mu.Unlock()
	var f *flight
	if last := len(m.free) - 1; last >= 0 {
		f, m.free = m.free[last], m.free[:last]
	} else {
		f = &flight{m: m, replySubjects: m.newSubjects(), done: make(chan struct{}, 1)}
	}
	f.begin(n+1, lost)
	m.flights[f.id] = f
	return f
}

// newSubjects makes the subjects of a batch that nothing was ever sent to. The caller holds the lock.
func (m *mux) newSubjects() replySubjects {
	m.last++
	return replySubjects{id: m.last, prefix: m.prefix + strconv.FormatUint(m.last, 36) + "."}
}

// subjects is newSubjects for a batch that isn't a flight.
func (m *mux) subjects() replySubjects {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.newSubjects()
}

// listen has r get what comes to the subjects with that id, until forget.
func (m *mux) listen(id uint64, r receiver) {
	m.mu.Lock()
	m.flights[id] = r
	m.mu.Unlock()
}

func (m *mux) forget(id uint64) {
	m.mu.Lock()
	delete(m.flights, id)
	m.mu.Unlock()
}

func (f *flight) begin(places int, lost <-chan struct{}) {
	f.mu.Lock() // an answer that is not expected may come at any time
	defer f.mu.Unlock()
	if cap(f.answers) < places {
		f.answers, f.counts = make([]*natsgo.Msg, places), make([]bool, places)
	}
	f.answers, f.counts = f.answers[:places], f.counts[:places]
	clear(f.answers)
	clear(f.counts)
	f.lost, f.left, f.spent = lost, 1, false
}

func (s *replySubjects) subject(place int) string {
	for len(s.made) <= place {
		s.made = append(s.made, s.prefix+strconv.Itoa(len(s.made)))
	}
	return s.made[place]
}

// reply is where the answer to message i goes. With expect, wait waits for it; without it the batch needs a barrier, which tells when
// none can come any more.
func (f *flight) reply(i int, expect bool) string {
	if expect {
		f.mu.Lock()
		f.counts[i+1] = true
		f.left++
		f.mu.Unlock()
	}
	return f.subject(i + 1)
}

// forget takes back an expected answer: the message could not be sent.
func (f *flight) forget(i int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.spent = true
	if f.counts[i+1] {
		f.counts[i+1] = false
		f.arrived()
	}
}

func (f *flight) answer(place int, msg *natsgo.Msg) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if place < 0 || place >= len(f.answers) || f.answers[place] != nil {
		return
	}
	f.answers[place] = msg
	if f.counts[place] {
		f.arrived()
	}
}

func (f *flight) arrived() {
	if f.left--; f.left == 0 {
		f.done <- struct{}{}
	}
}

// ending says why a flight ended.
type ending uint8

const (
	allCame ending = iota
	connectionLost
	tookTooLong
	contextEnded
)

// wait blocks until all expected answers came, the connection broke, ctx ended or d has passed.
func (f *flight) wait(ctx context.Context, d time.Duration) ending {
	f.mu.Lock()
	f.arrived() // the one that kept it open while it was filled
	f.mu.Unlock()
	select {
	case <-f.done:
		return allCame
	default:
	}
	if f.timer == nil {
		f.timer = time.NewTimer(d)
	} else {
		f.timer.Reset(d)
	}
	defer f.timer.Stop()
	select {
	case <-f.done:
		return allCame
	case <-f.lost:
		return connectionLost
	case <-f.timer.C:
		return tookTooLong
	case <-ctx.Done():
		return contextEnded
	}
}

// close ends the flight; nothing of it may be used afterwards.
func (f *flight) close() {
	f.mu.Lock()
	clean := f.left == 0 && !f.spent && len(f.answers) <= maxFreeLen
	select { // the last answer may have come when wait had another reason to end
	case <-f.done:
	default:
	}
	clear(f.answers)
	f.mu.Unlock()
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	delete(f.m.flights, f.id)
	if clean && len(f.m.free) < maxFree {
		f.m.free = append(f.m.free, f)
	}
}

// got returns the answer to message i, nil if none came. The caller doesn't change it.
func (f *flight) got(i int) *natsgo.Msg {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answers[i+1]
}

// noResponders reports whether msg is the server's word that nobody is subscribed.
func noResponders(msg *natsgo.Msg) bool { return status(msg) == "503" }

// status is the status code of a message without a body from the server, or "".
func status(msg *natsgo.Msg) string {
	if len(msg.Data) > 0 || msg.Header == nil {
		return ""
	}
	return msg.Header.Get("Status")
}

// barrier publishes a message to ourselves and waits for it. A server handles what one connection sends in order, and
// sends in order what it has for it: when the barrier is back, all that was published before it has been routed, and every
// no-responders answer to it has come. nil means that it is back.
func (m *mux) barrier(ctx context.Context, d time.Duration, lost <-chan struct{}) error {
	f := m.open(0, lost)
	defer f.close()
	if err := m.nc.Publish(f.reply(barrierIndex, true), nil); err != nil {
		return err
	}
	switch f.wait(ctx, d) {
	case allCame:
		return nil
	case contextEnded:
		return ctx.Err()
	case tookTooLong:
		return natsgo.ErrTimeout
	default:
		return natsgo.ErrDisconnected
	}
}
