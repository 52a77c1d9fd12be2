package report

import (
	"context"
	"sync"
	"time"

	"github.com/streamerson/streamerson/conformance"
	"github.com/streamerson/streamerson/transport"
)

// Watcher is told of a run's progress, from one goroutine. It must start and end no goroutine in between: the scenarios count
// them.
type Watcher interface {
	// Begin is called before scenario number i of n, counted from 0.
	Begin(scenario string, i, n int)
	// End is called after it.
	End(e Entry)
}

const (
	// openTimeout bounds the two connections that Run makes for itself.
	openTimeout = 10 * time.Second
	// interruptGrace is how long an interrupted scenario may take to clean up before it is left alone. Its drivers are closed
	// under it, so it ends with its next call.
	interruptGrace = 15 * time.Second
)

// Run runs scenarios with h, one after the other, and returns what came of them. Its error is about reaching the broker at
// all; what scenarios find is in the report. When ctx ends, the scenario that runs is ended soon by closing its drivers; it
// counts as Interrupted, and those after it as NotRun.
func Run(ctx context.Context, h conformance.Harness, scenarios []conformance.Scenario, w Watcher) (*Report, error) {
	r := &runner{ctx: ctx, h: h, connect: h.Open}
	caps, err := r.capabilities()
	if err != nil {
		return nil, err
	}
	r.h.Open = r.open
	defer context.AfterFunc(ctx, r.closeAll)()
	rep := &Report{Capabilities: caps, Durability: caps.Durability.String(), Started: time.Now(), Slow: max(h.Slow, 1)}
	for i, s := range scenarios {
		w.Begin(s.Name, i, len(scenarios))
		e := r.one(s)
		rep.Entries = append(rep.Entries, e)
		w.End(e)
	}
	rep.Seconds = time.Since(rep.Started).Seconds()
	return rep, nil
}

type runner struct {
	ctx     context.Context
	h       conformance.Harness // its Open is the runner's
	connect func(context.Context) (transport.Driver, error)

	mu      sync.Mutex
	drivers []transport.Driver // of the scenario that runs
}

func (r *runner) capabilities() (transport.Capabilities, error) {
	ctx, cancel := context.WithTimeout(r.ctx, openTimeout)
	defer cancel()
	d, err := r.connect(ctx)
	if err != nil {
		return transport.Capabilities{}, err
	}
	return d.Capabilities(), d.Close(ctx)
}

// open opens a driver for a scenario and remembers it, for an interruption.
func (r *runner) open(ctx context.Context) (transport.Driver, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	d, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drivers = append(r.drivers, d)
	return d, nil
}

// closeAll takes the broker away from the scenario that runs, so that it ends soon.
func (r *runner) closeAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), interruptGrace/2)
	defer cancel()
	for _, d := range r.drivers {
		go func() { _ = d.Close(ctx) }() // the scenario closes it as well, and reports what goes wrong
	}
}

// one runs one scenario.
func (r *runner) one(s conformance.Scenario) Entry {
	e := Entry{Scenario: s.Name, Area: s.Area}
	if r.ctx.Err() != nil {
		e.Outcome, e.Reason = conformance.NotRun, "the run was interrupted before"
		return e
	}
	r.mu.Lock()
	r.drivers = nil
	r.mu.Unlock()
	t, start, done := &recorder{}, time.Now(), make(chan struct{})
	h := r.h
	h.OnResult = t.onResult
	go func() {
		defer close(done)
		defer t.recoverPanic()
		s.Run(t, h)
	}()
	select {
	case <-done:
	case <-r.ctx.Done():
		select {
		case <-done:
		case <-time.After(interruptGrace):
		}
	}
	e.Seconds = time.Since(start).Seconds()
	t.fill(&e)
	if r.ctx.Err() != nil {
		e.Outcome, e.Reason = Interrupted, "the run was interrupted during it"
	}
	return e
}
