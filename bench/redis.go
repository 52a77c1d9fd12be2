package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Options of a run. The zero value is not usable; DefaultOptions is.
type Options struct {
	// Rounds of two visits a cell; fewer than 5 tell little.
	Rounds int
	// Visit is how long one visit of one cell is meant to take.
	Visit time.Duration
	// Size of a body in bytes, at least 8.
	Size int
	// Calls of the long leg, 0 to leave it out.
	Calls int
	// Legs to run, by name or, for one number in flight alone, as "name@256"; nil for all. Goals whose cells are left out
	// are shown as not measured.
	Legs []string
	// JSON is a file for the report, ProfileDir a directory for a CPU profile of each process; "" for none.
	JSON, ProfileDir string
	// Wiring, see there.
	Wiring Wiring
	// Progress gets a line a round and what the processes log; nil means os.Stderr.
	Progress io.Writer
}

// DefaultOptions take about two minutes. Many short visits tell more than few long ones: what else a machine does comes in
// bursts, which then hit few rounds.
func DefaultOptions() Options {
	return Options{Rounds: 9, Visit: 500 * time.Millisecond, Size: 128, Calls: 1_000_000}
}

func (o *Options) check() error {
	switch {
	case o.Rounds < 1:
		return fmt.Errorf("bench: --rounds is %d; give at least 1", o.Rounds)
	case o.Visit < 10*time.Millisecond:
		return fmt.Errorf("bench: --visit is %v; give at least 10ms", o.Visit)
	case o.Size < minPayload:
		return fmt.Errorf("bench: --size is %d; give at least %d, a body holds its call's number", o.Size, minPayload)
	case o.Calls < 0:
		return fmt.Errorf("bench: --calls is %d; give 0 to leave the long leg out", o.Calls)
	}
	if o.Progress == nil {
		o.Progress = os.Stderr
	}
	o.Progress = &sharedWriter{w: o.Progress}
	return nil
}

// sharedWriter lets all processes log to one writer.
type sharedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *sharedWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

func (o *Options) wants(c Cell) bool {
	return len(o.Legs) == 0 || slices.Contains(o.Legs, c.Leg) || slices.Contains(o.Legs, c.String())
}

// Report is a run's outcome.
type Report struct {
	Started time.Time
	// Machine, in words.
	Machine string
	Broker  BrokerInfo
	Rounds  int
	Visit   time.Duration
	Size    int
	Goals   []GoalResult
	Cells   []CellReport
	// Soak is nil when it was left out.
	Soak *Soak `json:",omitempty"`
}

// CellReport is a cell's figures.
type CellReport struct {
	Cell
	// Connections to the broker, by part.
	Connections map[string]int `json:",omitempty"`
	Rounds      []Round
}

// Failed is the number of calls of the whole run that brought no reply or a wrong one.
func (r *Report) Failed() int {
	n := 0
	for _, c := range r.Cells {
		for _, rd := range c.Rounds {
			n += rd.Failed
		}
	}
	if r.Soak != nil {
		n += r.Soak.Failed()
	}
	return n
}

// redisCells are visited in this order: what is compared stands close together.
var redisCells = []Cell{
	{LegHTTP, busy}, {LegRPC, busy}, {LegHand, busy}, {LegNaive, busy}, {LegProxy, busy}, {LegGateway, busy}, {LegPooled, busy}, {LegHTTP, 1}, {LegRPC, 1},
}

// RunRedis measures rpc on a Redis of its own beside bare go-redis and net/http, and prints the tables to out. It blocks
// until done. The error says why the run could not be made; unmet goals and failed calls are in the report, not an error.
func RunRedis(ctx context.Context, o Options, out io.Writer) (*Report, error) {
	self, err := o.program()
	if err != nil {
		return nil, err
	}
	b, err := startRedis(ctx)
	if err != nil {
		return nil, err
	}
	s := suite{
		broker: b, legs: redisLegs(self, b, o.Wiring), cells: redisCells, goals: redisGoals,
		last: func(legs map[string]Leg, r *Report) error { return soakRPC(ctx, o, b, legs, r) },
	}
	r, err := s.measure(ctx, o)
	if err = errors.Join(err, b.stop()); err != nil {
		return nil, err
	}
	return r, r.deliver(o, out)
}

// soakRPC is the long leg, unless it is left out.
func soakRPC(ctx context.Context, o Options, b *redisBroker, legs map[string]Leg, r *Report) error {
	leg := legs[LegRPC]
	if leg == nil || o.Calls == 0 {
		return nil
	}
	_, _ = fmt.Fprintf(o.Progress, "%d calls once, %d in flight\n", o.Calls, busy)
	s, err := soak(ctx, leg, b, Load{Calls: o.Calls, InFlight: busy, Size: o.Size})
	r.Soak = &s
	return err
}

// deliver prints the report, and writes it to the file that the options name.
func (r *Report) deliver(o Options, out io.Writer) error {
	r.Print(out)
	if o.JSON != "" {
		text, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.JSON, append(text, '\n'), 0o644); err != nil { //nolint:gosec // results are no secret
			return err
		}
	}
	return nil
}

// suite is one broker's comparison.
type suite struct {
	broker broker
	legs   []*processLeg
	// cells are visited in this order.
	cells []Cell
	goals []Goal
	// warmup is the interleaver's.
	warmup int
	// last, if set, is done after the rounds, while the legs are still up.
	last func(legs map[string]Leg, r *Report) error
}

// measure starts the legs that o wants, visits the cells, judges the goals and stops the legs.
func (s *suite) measure(ctx context.Context, o Options) (r *Report, err error) {
	r = &Report{
		Started: time.Now().UTC(), Machine: fmt.Sprintf("%d CPUs, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version()),
		Rounds: o.Rounds, Visit: o.Visit, Size: o.Size,
	}
	if r.Broker, err = s.broker.info(ctx); err != nil {
		return nil, err
	}
	legs := map[string]Leg{}
	for _, l := range s.legs {
		if !slices.ContainsFunc(s.cells, func(c Cell) bool { return c.Leg == l.name && o.wants(c) }) {
			continue
		}
		if err := l.Start(ctx); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, l.Stop()) }()
		legs[l.name] = l
	}
	in := interleaver{legs: legs, size: o.Size, visit: o.Visit, rounds: o.Rounds, warmup: s.warmup, progress: o.Progress}
	for _, c := range s.cells {
		if legs[c.Leg] != nil && o.wants(c) {
			in.cells = append(in.cells, c)
		}
	}
	cells, err := in.run(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range in.cells {
		conns, err := legs[c.Leg].(*processLeg).connections(ctx)
		if err != nil {
			return nil, err
		}
		r.Cells = append(r.Cells, CellReport{Cell: c, Connections: conns, Rounds: cells[c]})
	}
	for _, g := range s.goals {
		r.Goals = append(r.Goals, g.judge(cells))
	}
	if s.last != nil {
		err = s.last(legs, r)
	}
	return r, err
}
