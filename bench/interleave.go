package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/streamerson/streamerson/bench/load"
	"github.com/streamerson/streamerson/bench/result"
)

// roundOf adds up the visits of one cell in one round: one in the order of the cells and one in the reverse order, so that a
// machine that slows down or speeds up steadily hits all cells alike.
func roundOf(visits ...Visit) result.Round {
	r := result.Round{CPU: map[string]time.Duration{}, Counters: map[string]int64{}, Errors: map[string]int{}, Allocs: map[string]result.Allocs{}, Lag: -1}
	var broker BrokerUse
	for _, v := range visits {
		r.Calls += v.Calls
		r.OK += v.OK
		r.Wrong += v.Wrong
		r.Dropped += v.Dropped
		r.Elapsed += v.Elapsed
		r.Late += v.Late / time.Duration(len(visits))
		for k, d := range v.PartCPU {
			r.CPU[k] += d
		}
		for k, n := range v.Counters {
			r.Counters[k] += n
		}
		for k, n := range v.Errors {
			r.Errors[k] += n
		}
		for k, a := range v.Allocs {
			b := r.Allocs[k]
			r.Allocs[k] = result.Allocs{Objects: a.Objects + b.Objects, Bytes: a.Bytes + b.Bytes}
		}
		broker = broker.add(v.Broker)
		r.Lag = max(r.Lag, v.Lag)
	}
	r.Broker = broker.BrokerUse
	r.Split = splitOf(visits)
	latencies(&r, visits)
	return r
}

// latencies merges the visits' histograms. Where a client gave none, the quantiles are the means of the visits'.
func latencies(r *result.Round, visits []Visit) {
	all, err := result.NewHistogram(), error(nil)
	for _, v := range visits {
		h, e := result.DecodeHistogram(v.HDR)
		if e != nil || v.HDR == "" {
			err = fmt.Errorf("no histogram: %w", e)
			break
		}
		all.Merge(h)
	}
	if err == nil {
		r.Latency = result.QuantilesOf(all)
		r.HDR, err = result.EncodeHistogram(all)
	}
	if err != nil {
		r.HDR = ""
		mean := func(of func(Visit) time.Duration) (sum time.Duration) {
			for _, v := range visits {
				sum += of(v) / time.Duration(len(visits))
			}
			return sum
		}
		r.Latency = result.Quantiles{
			P50: mean(func(v Visit) time.Duration { return v.P50 }), P90: mean(func(v Visit) time.Duration { return v.P90 }),
			P99: mean(func(v Visit) time.Duration { return v.P99 }), P999: mean(func(v Visit) time.Duration { return v.P999 }),
		}
		for _, v := range visits {
			r.Latency.Max = max(r.Latency.Max, v.Max)
		}
	}
	kinds := map[string][]string{}
	for _, v := range visits {
		for name, k := range v.Kinds {
			kinds[name] = append(kinds[name], k.HDR)
		}
	}
	for name, texts := range kinds {
		sum := result.NewHistogram()
		for _, text := range texts {
			if h, err := result.DecodeHistogram(text); err == nil {
				sum.Merge(h)
			}
		}
		if r.Classes == nil {
			r.Classes = map[string]result.Class{}
		}
		r.Classes[name] = result.Class{OK: int(sum.TotalCount()), Latency: result.QuantilesOf(sum)}
	}
}

// splitOf is the means of the visits' medians.
func splitOf(visits []Visit) *result.Split {
	var s result.Split
	n := time.Duration(0)
	for _, v := range visits {
		if v.Split != nil {
			n++
			s.Outside += v.Split.Outside
			s.Wait += v.Split.Wait
			s.Queue += v.Split.Queue
			s.Handler += v.Split.Handler
			s.Reply += v.Split.Reply
		}
	}
	if n == 0 {
		return nil
	}
	return &result.Split{Outside: s.Outside / n, Wait: s.Wait / n, Queue: s.Queue / n, Handler: s.Handler / n, Reply: s.Reply / n}
}

// plan is a cell with what its visits do.
type plan struct {
	*result.Cell
	leg Leg
	// load is complete but for Calls, which are as many as the visit takes if 0.
	load load.Load
	// visit is how long one visit is meant to take.
	visit time.Duration
}

// interleaver visits cells in rounds.
type interleaver struct {
	plans  []*plan
	rounds int
	// warmup is in calls for each in flight; 0 means warmup.
	warmup int
	// seed of the first visit; each visit has its own.
	seed uint64
	// progress is told of each visit and may be nil.
	progress func(done, all int, c *result.Cell)
}

// warmup is how many calls a cell makes, for each in flight, before it is measured: connections, pools and the runtime's
// heap are then as they will stay, and the rate tells how many calls a visit needs.
const warmup = 40

// minWarmup is the fewest calls of that.
const minWarmup = 500

// run fills the cells' rounds. A rival that fails keeps the error in its cells and is visited no more; anything else that fails
// ends the run.
func (in *interleaver) run(ctx context.Context) error {
	all, done := len(in.plans)*(1+2*in.rounds), 0
	tell := func(p *plan) {
		if in.progress != nil {
			in.progress(done, all, p.Cell)
		}
		done++
	}
	for _, p := range slices.Clone(in.plans) {
		if p.Failed != "" {
			continue
		}
		tell(p)
		if err := in.excuse(p, in.warm(ctx, p)); err != nil {
			return err
		}
	}
	for range in.rounds {
		visits := map[*plan][]Visit{}
		order := slices.Clone(in.plans)
		slices.Reverse(order)
		for _, p := range slices.Concat(in.plans, order) {
			if p.Failed != "" {
				continue
			}
			tell(p)
			v, err := in.visit(ctx, p, p.load)
			if err := in.excuse(p, err); err != nil {
				return err
			}
			visits[p] = append(visits[p], v)
		}
		for _, p := range in.plans {
			p.Rounds = append(p.Rounds, roundOf(visits[p]...))
		}
	}
	return nil
}

// excuse takes a rival that failed out of the plans: its processes may still be at work on what was given up.
func (in *interleaver) excuse(p *plan, err error) error {
	if err == nil || !p.leg.About().Rival || errors.Is(err, context.Canceled) {
		return err
	}
	in.plans = slices.DeleteFunc(slices.Clone(in.plans), func(q *plan) bool {
		if q.leg == p.leg {
			q.Failed, q.Rounds = err.Error(), nil
		}
		return q.leg == p.leg
	})
	return nil
}

// warm makes the first calls, and finds out how many a visit needs.
func (in *interleaver) warm(ctx context.Context, p *plan) error {
	l, n := p.load, in.warmup
	if n == 0 {
		n = warmup
	}
	l.Calls = max(minWarmup, n*l.InFlight)
	switch {
	case l.Rate > 0:
		if p.load.Calls == 0 {
			p.load.Calls = max(1, int(l.Rate*p.visit.Seconds()))
		}
		l.Calls = max(1, p.load.Calls/4)
	case len(l.Kinds) > 0: // such calls take their time
		l.Calls = 2 * l.InFlight
	}
	v, err := in.visit(ctx, p, l)
	if err != nil {
		return err
	}
	if v.OK == 0 {
		return fmt.Errorf("bench: %s: not one call succeeded: %v", p.Key(), v.Errors)
	}
	if p.load.Calls == 0 {
		p.load.Calls = max(2*l.InFlight, int(float64(v.OK)/v.Elapsed.Seconds()*p.visit.Seconds()))
	}
	return nil
}

// visitLimit bounds one visit: a leg that hangs fails the run, it does not hang it.
func visitLimit(visit time.Duration) time.Duration { return 30*time.Second + 10*visit }

func (in *interleaver) visit(ctx context.Context, p *plan, l load.Load) (Visit, error) {
	ctx, cancel := context.WithTimeout(ctx, visitLimit(p.visit))
	defer cancel()
	in.seed++
	l.Seed = in.seed
	v, err := p.leg.Run(ctx, l)
	if err != nil {
		return v, fmt.Errorf("bench: %s: %w", p.Key(), err)
	}
	return v, nil
}

// errorsOf are a round's error texts in a fixed order, wrong replies among them.
func errorsOf(r result.Round) []string {
	var out []string
	for _, e := range slices.Sorted(maps.Keys(r.Errors)) {
		out = append(out, fmt.Sprintf("%d × %s", r.Errors[e], e))
	}
	if r.Wrong > 0 {
		out = append(out, fmt.Sprintf("%d × reply with wrong bytes", r.Wrong))
	}
	return out
}
