package conformance

import (
	"fmt"
	"slices"
	"sync"
)

// ledger is what became of the requests that have effects, by name.
type ledger struct {
	mu       sync.Mutex
	sent     map[string]bool // about to be published, whatever became of it
	accepted map[string]bool // the transport took responsibility: it was accepted one way, or answered
	begun    map[string]int  // how often a handler began
	ended    map[string]int  // how often one came to its end
	dead     map[string]bool // in the dead letter stream
	before   map[string]bool // sent before reset: if one comes again after a crash, as it may, it is not the scenario's
}

func newLedger() *ledger {
	return &ledger{sent: map[string]bool{}, accepted: map[string]bool{}, begun: map[string]int{}, ended: map[string]int{}, dead: map[string]bool{}, before: map[string]bool{}}
}

func (l *ledger) sending(name string) { l.mu.Lock(); l.sent[name] = true; l.mu.Unlock() }
func (l *ledger) bury(name string)    { l.mu.Lock(); l.dead[name] = true; l.mu.Unlock() }
func (l *ledger) begin(name string)   { l.count(l.begun, name) }
func (l *ledger) end(name string)     { l.count(l.ended, name) }

func (l *ledger) count(in map[string]int, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.before[name] {
		in[name]++
	}
}

func (l *ledger) outcome(name string, accepted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if accepted {
		l.accepted[name] = true
	}
}

// buried counts the different dead letters.
func (l *ledger) buried() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.dead)
}

// reset forgets all: what follows is the scenario proper.
func (l *ledger) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name := range l.sent {
		l.before[name] = true
	}
	for _, m := range []map[string]bool{l.accepted, l.dead} {
		clear(m)
	}
	clear(l.begun)
	clear(l.ended)
}

// forget drops what was accepted so far: it is known to be lost.
func (l *ledger) forget() { l.mu.Lock(); clear(l.accepted); l.mu.Unlock() }

func (l *ledger) beganTimes(name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.begun[name]
}

// totals tells how many different requests began and ended.
func (l *ledger) totals() (begun, ended int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.begun), len(l.ended)
}

// lost lists what was accepted and neither handled nor given up.
func (l *ledger) lost() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lost []string
	for name := range l.accepted {
		if l.ended[name] == 0 && !l.dead[name] {
			lost = append(lost, name)
		}
	}
	slices.Sort(lost)
	return lost
}

// invented lists what ran though nobody sent it.
func (l *ledger) invented() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var bad []string
	for name := range l.begun {
		if !l.sent[name] {
			bad = append(bad, name)
		}
	}
	slices.Sort(bad)
	return bad
}

// repeated lists what ran more than once.
func (l *ledger) repeated() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var bad []string
	for name, n := range l.begun {
		if n > 1 {
			bad = append(bad, fmt.Sprintf("%s %d×", name, n))
		}
	}
	slices.Sort(bad)
	return bad
}
