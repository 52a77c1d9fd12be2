package conformance

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/streamerson/streamerson/conformance/history"
	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

// member is a worker or caller of a scenario, in this process or in one of its own.
type member struct {
	s     *system
	name  string
	slots int
	seen  counts
	begun counts // by request
	ready chan struct{}
	ended chan struct{}
	once  sync.Once

	proc *process           // a process of its own
	stop context.CancelFunc // in this process

	mu      sync.Mutex
	answers map[string]string // by a caller's call: the code
	asked   int
}

// hear takes a member's report.
func (m *member) hear(kind, name string) {
	switch kind {
	case sayReady:
		m.once.Do(func() { close(m.ready) })
	case sayBegin:
		m.begun.add(name)
		m.s.ledger.begin(name)
	case sayEnd:
		m.s.ledger.end(name)
	case sayCount:
		m.seen.add(name)
	case saySent:
		m.s.ledger.sending(name)
		m.mu.Lock()
		m.asked++
		m.mu.Unlock()
	case sayAnswer:
		name, code, _ := strings.Cut(name, " ")
		m.s.ledger.outcome(name, code == rpc.CodeOK.String())
		m.mu.Lock()
		m.answers[name] = code
		m.mu.Unlock()
	}
}

// answered returns how many calls a caller has made, and the codes of those that have ended, by name.
func (m *member) answered() (asked int, codes map[string]string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	codes = make(map[string]string, len(m.answers))
	for k, v := range m.answers {
		codes[k] = v
	}
	return m.asked, codes
}

func (s *system) newMember(name string) *member {
	m := &member{s: s, name: name, ready: make(chan struct{}), ended: make(chan struct{}), answers: map[string]string{}}
	s.members = append(s.members, m)
	return m
}

// childConfig is the usual one, and what the scenario changes.
func (s *system) childConfig(role string, change func(*childConfig)) childConfig {
	cfg := childConfig{
		Role: role, URL: s.h.URL, Name: role + itoa(s.number()), Streams: []string{s.stream},
		Worker: workerConfig{Slots: 32, Lease: s.d(steadyLease)}, Caller: callerConfig{Timeout: s.d(4 * patience), NoWorkerWait: s.d(patientWait)},
	}
	if change != nil {
		change(&cfg)
	}
	cfg.History = s.book.File(cfg.Name)
	return cfg
}

// local starts a worker within this process and waits until it is ready; it ends with the scenario, or with end.
func (s *system) local(change func(*childConfig)) *member {
	s.Helper()
	d, r := s.recorded("local" + itoa(s.number()))
	return s.localOn(d, r, change)
}

// localOn is local on a driver of the scenario's.
func (s *system) localOn(d transport.Driver, r *history.Recorder, change func(*childConfig)) *member {
	s.Helper()
	cfg := s.childConfig(roleWorker, change)
	m := s.newMember(cfg.Name)
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	go func() {
		defer close(m.ended)
		if err := runWorker(ctx, d, r, cfg, m.hear); err != nil {
			s.Errorf("worker %s: %v", cfg.Name, err)
		}
	}()
	s.atEnd(func() { m.end() })
	m.awaitReady(4 * patience)
	return m
}

// end stops a member of this process and waits for it.
func (m *member) end() {
	m.stop()
	<-m.ended
}

// awaitReady waits until the member serves, or can call.
func (m *member) awaitReady(d time.Duration) {
	m.s.Helper()
	select {
	case <-m.ready:
		return
	default:
	}
	select {
	case <-m.ready:
	case <-m.ended:
		m.s.Fatalf("%s ended before it was ready", m.name)
	case <-time.After(m.s.d(d)):
		m.s.Fatalf("%s is not ready after %v", m.name, m.s.d(d))
	}
}

// await waits until the member has reported a count n times.
func (m *member) await(name string, n int, within time.Duration) {
	m.s.Helper()
	m.s.until(within, "the count "+name+" at "+m.name, func() bool { return m.seen.get(name) >= n })
}
