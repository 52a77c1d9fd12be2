package mem

import "github.com/streamerson/streamerson/transport"

// What follows breaks a broker on purpose, for tests of what stands above a transport. None of it happens unasked.

// Fault is what becomes of a message that a test picked with FailPublishes.
type Fault struct {
	// Outcome is reported: OutcomeRejected or OutcomeUnknown (a lost answer).
	Outcome transport.Outcome
	// Code of the error; with OutcomeUnknown usually CodeTimeout or CodeUnavailable.
	Code transport.Code
	// Store keeps the message all the same: what an Unknown may hide.
	Store bool
}

func (f Fault) result(m *transport.Message) transport.Result {
	return transport.Result{Outcome: f.Outcome, Err: &transport.Error{Code: f.Code, Op: "publish", Stream: m.Stream, Msg: "a test's fault"}}
}

type plan struct {
	stream string
	n      int
	fault  Fault
}

type faults struct {
	paused   chan struct{} // closed when the pause ends
	plans    []plan
	lostAcks int
}

// next returns the fault that strikes m, if any.
func (f *faults) next(m *transport.Message) (Fault, bool) {
	for i := range f.plans {
		p := &f.plans[i]
		if p.stream != "" && p.stream != m.Stream {
			continue
		}
		fault := p.fault
		if p.n--; p.n <= 0 {
			f.plans = append(f.plans[:i], f.plans[i+1:]...)
		}
		return fault, true
	}
	return Fault{}, false
}

func (f *faults) loseAck(l *lease) error {
	if f.lostAcks == 0 {
		return nil
	}
	f.lostAcks--
	return &transport.Error{Code: transport.CodeUnavailable, Op: "settle", Stream: l.m.g.s.name, Msg: "a test's fault"}
}

// FailPublishes lets f strike the next n messages to stream (a stream's name, a lane's address, or "" for any), whether
// published or sent as a reply. Calls add up, oldest first.
func (b *Broker) FailPublishes(stream string, n int, f Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > 0 {
		b.faults.plans = append(b.faults.plans, plan{stream, n, f})
	}
}

// FailAcks makes the next n acks fail with CodeUnavailable after their reply, if any, was accepted: the delivery stays leased.
func (b *Broker) FailAcks(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults.lostAcks = n
}

// Pause stops the broker as SIGSTOP would: every call but Close waits, until resume is called or its context ends. Leases
// go on running out.
func (b *Broker) Pause() (resume func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ch := b.faults.paused
	if ch == nil {
		ch = make(chan struct{})
		b.faults.paused = ch
	}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.faults.paused == ch {
			b.faults.paused = nil
			close(ch)
		}
	}
}

// DropLane makes a private lane unknown to senders, as if the broker had reaped it; its tailer does not notice.
func (b *Broker) DropLane(address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.lanes, address)
}

// ExpireLeases ends all leases on a stream now.
func (b *Broker) ExpireLeases(stream string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.streams[stream]
	if s == nil {
		return
	}
	for _, g := range s.groups {
		g.collect(forever)
		g.wake(g.pending)
	}
}

// Wipe deletes every stream with its groups, as FLUSHALL would. Drivers make again what they had ensured when they next use
// it; lanes stay.
func (b *Broker) Wipe() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.streams {
		b.remove(s)
	}
}

// Kill ends the driver as kill -9 would end its process: every call fails with CodeClosed, and what its consumers hold
// stays leased until the leases run out. Its lanes are gone and its consumers no longer count as alive.
func (d *Driver) Kill() {
	d.b.mu.Lock()
	defer d.unlock()
	d.close(false)
}
