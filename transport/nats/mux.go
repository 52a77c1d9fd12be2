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
	flights map[uint64]*flight
	// free are the addresses of flights to which all answers have come: nothing can come to them any more, so the next flight may
	// have them. A server finds a subject that it has routed before much sooner.
	free []*address
}

// address is what a flight's answers are sent to.
type address struct {
	id       uint64
	prefix   string
	subjects []string // of index 0, 1 …
}

// maxFree bounds how many addresses are kept.
const maxFree = 16

// flight is one batch of messages whose answers are waited for together.
type flight struct {
	m    *mux
	at   *address
	lost <-chan struct{} // closed when the connection breaks

	mu      sync.Mutex
	answers []*natsgo.Msg
	counts  []bool // whether an answer to that index is waited for
	left    int
	spent   bool // its address can't be used again
	done    chan struct{}
}

func newMux(nc *natsgo.Conn, prefix string) (*mux, error) {
	m := &mux{nc: nc, prefix: prefix + ".", flights: map[uint64]*flight{}}
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

// open begins a batch with n indices; nothing is waited for yet. The caller closes it, or waits.
func (m *mux) open(n int, lost <-chan struct{}) *flight {
	f := &flight{m: m, lost: lost, answers: make([]*natsgo.Msg, n), counts: make([]bool, n), left: 1, done: make(chan struct{})}
	m.mu.Lock()
	defer m.mu.Unlock()
	if last := len(m.free) - 1; last >= 0 {
		f.at, m.free = m.free[last], m.free[:last]
	} else {
		m.last++
		f.at = &address{id: m.last, prefix: m.prefix + strconv.FormatUint(m.last, 36) + "."}
	}
	m.flights[f.at.id] = f
	return f
}

func (a *address) subject(i int) string {
	for len(a.subjects) <= i {
		a.subjects = append(a.subjects, a.prefix+strconv.Itoa(len(a.subjects)))
	}
	return a.subjects[i]
}

// reply is where the answer to index i goes. With expect, wait waits for it. One goroutine fills a flight.
func (f *flight) reply(i int, expect bool) string {
	f.mu.Lock()
	if expect {
		f.counts[i] = true
		f.left++
	} else {
		f.spent = true // whether an answer is on its way can't be known
	}
	f.mu.Unlock()
	return f.at.subject(i)
}

// forget takes back an expected answer: the message could not be sent.
func (f *flight) forget(i int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.spent = true
	if f.counts[i] {
		f.counts[i] = false
		f.arrived()
	}
}

func (f *flight) answer(i int, msg *natsgo.Msg) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i < 0 || i >= len(f.answers) || f.answers[i] != nil {
		return
	}
	f.answers[i] = msg
	if f.counts[i] {
		f.arrived()
	}
}

func (f *flight) arrived() {
	if f.left--; f.left == 0 {
		close(f.done)
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

// wait blocks until all expected answers came, the connection broke, ctx ended or d has passed, and ends the flight.
func (f *flight) wait(ctx context.Context, d time.Duration) ending {
	f.mu.Lock()
	f.arrived() // the one that kept it open while it was filled
	f.mu.Unlock()
	defer f.close()
	select {
	case <-f.done:
		return allCame
	default:
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-f.done:
		return allCame
	case <-f.lost:
		return connectionLost
	case <-t.C:
		return tookTooLong
	case <-ctx.Done():
		return contextEnded
	}
}

func (f *flight) close() {
	f.mu.Lock()
	clean := f.left == 0 && !f.spent
	f.mu.Unlock()
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	delete(f.m.flights, f.at.id)
	if clean && len(f.m.free) < maxFree {
		f.m.free = append(f.m.free, f.at)
	}
}

// got returns the answer to index i, nil if none came. The caller doesn't change it.
func (f *flight) got(i int) *natsgo.Msg {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answers[i]
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
	f := m.open(1, lost)
	if err := m.nc.Publish(f.reply(0, true), nil); err != nil {
		f.close()
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
