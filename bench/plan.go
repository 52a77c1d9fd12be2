package bench

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Cell is one leg at one number of calls in flight: what a visit measures.
type Cell struct {
	Leg      string
	InFlight int
}

func (c Cell) String() string { return fmt.Sprintf("%s@%d", c.Leg, c.InFlight) }

// Round is one cell's two visits of one round, added up: one in the order of the cells and one in the reverse order, so
// that a machine that slows down or speeds up steadily hits all cells alike.
type Round struct {
	Calls, Failed int
	Elapsed       time.Duration
	// P50 and P99 are the means of the visits' quantiles.
	P50, P99 time.Duration
	PartCPU  map[string]time.Duration
	Counters map[string]int64
	Broker   BrokerUse
	Errors   map[string]int `json:",omitempty"`
}

// Rate is calls that succeeded, a second.
func (r Round) Rate() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Calls-r.Failed) / r.Elapsed.Seconds()
}

// CPU is the microseconds of all processes, a call.
func (r Round) CPU() float64 {
	var sum time.Duration
	for _, d := range r.PartCPU {
		sum += d
	}
	return per(float64(sum)/1e3, r.Calls)
}

func roundOf(visits ...Visit) Round {
	r := Round{PartCPU: map[string]time.Duration{}, Counters: map[string]int64{}, Errors: map[string]int{}}
	for _, v := range visits {
		r.Calls += v.Calls
		r.Failed += v.Failed()
		r.Elapsed += v.Elapsed
		r.P50 += v.P50 / time.Duration(len(visits))
		r.P99 += v.P99 / time.Duration(len(visits))
		for k, d := range v.PartCPU {
			r.PartCPU[k] += d
		}
		for k, n := range v.Counters {
			r.Counters[k] += n
		}
		for k, n := range v.Errors {
			r.Errors[k] += n
		}
		if v.Wrong > 0 {
			r.Errors["reply with wrong bytes"] += v.Wrong
		}
		r.Broker = r.Broker.add(v.Broker)
	}
	return r
}

// interleaver visits cells in rounds.
type interleaver struct {
	legs  map[string]Leg
	cells []Cell
	// size of a body in bytes; visit is how long one visit is meant to take.
	size   int
	visit  time.Duration
	rounds int
	// warmup is in calls for each in flight; 0 means warmup.
	warmup int
	// progress gets a line a round.
	progress io.Writer
}

// warmup is how many calls a cell makes, for each in flight, before it is measured: connections, pools and the runtime's
// heap are then as they will stay, and the rate tells how many calls a visit needs.
const warmup = 40

// run returns each cell's rounds.
func (in *interleaver) run(ctx context.Context) (map[Cell][]Round, error) {
	calls, out := map[Cell]int{}, map[Cell][]Round{}
	for _, c := range in.cells {
		n := in.warmup
		if n == 0 {
			n = warmup
		}
		v, err := in.visitCell(ctx, c, max(500, n*c.InFlight))
		if err != nil {
			return nil, err
		}
		if v.OK == 0 {
			return nil, fmt.Errorf("bench: %s: not one call succeeded: %v", c, v.Errors)
		}
		calls[c] = max(2*c.InFlight, int(float64(v.OK)/v.Elapsed.Seconds()*in.visit.Seconds()))
	}
	for n := range in.rounds {
		visits := map[Cell][]Visit{}
		for i := range 2 * len(in.cells) {
			c := in.cells[min(i, 2*len(in.cells)-1-i)]
			v, err := in.visitCell(ctx, c, calls[c])
			if err != nil {
				return nil, err
			}
			visits[c] = append(visits[c], v)
		}
		_, _ = fmt.Fprintf(in.progress, "round %d/%d, calls/s:", n+1, in.rounds)
		for _, c := range in.cells {
			r := roundOf(visits[c]...)
			out[c] = append(out[c], r)
			_, _ = fmt.Fprintf(in.progress, "  %s %.0f", c, r.Rate())
		}
		_, _ = fmt.Fprintln(in.progress)
	}
	return out, nil
}

// visitLimit bounds one visit: a leg that hangs fails the run, it does not hang it.
func (in *interleaver) visitLimit() time.Duration { return 30*time.Second + 10*in.visit }

func (in *interleaver) visitCell(ctx context.Context, c Cell, calls int) (Visit, error) {
	ctx, cancel := context.WithTimeout(ctx, in.visitLimit())
	defer cancel()
	v, err := in.legs[c.Leg].Run(ctx, Load{Calls: calls, InFlight: c.InFlight, Size: in.size})
	if err != nil {
		return v, fmt.Errorf("bench: %s: %w", c, err)
	}
	return v, nil
}
