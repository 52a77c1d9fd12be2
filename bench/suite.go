package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/streamerson/streamerson/bench/load"
	"github.com/streamerson/streamerson/bench/result"
	"github.com/streamerson/streamerson/bench/role"
	"github.com/streamerson/streamerson/bench/workload"
)

// suite is one interleaved run: legs that are visited in turn, and what is compared.
type suite struct {
	// group names it in results.
	group string
	// brokers are those that the legs use; stop ends them, and what else the suite began. It may be nil.
	brokers []broker
	stop    func() error
	legs    []*processLeg
	// cells are visited in this order; what is compared stands close together.
	cells []result.Cell
	goals []Goal
	// reference is the cell, by name, whose rate the cells with a Load are a share of; it is measured first and need not be
	// among the cells.
	reference result.Cell
	// warmup is the interleaver's. rounds and visit, if set, are the suite's own instead of the options'.
	warmup, rounds int
	visit          time.Duration
	// paced is how many times as long a visit of a cell with a Rate takes: a low rate needs it for the calls that a p99 is made
	// of. 0 is once.
	paced int
	// versions of what the suite uses besides its brokers.
	versions map[string]string
	// workload, if set, is that of cells which name it; other names are presets.
	workload *workload.Workload
	// last, if set, is done after the rounds, while the legs are still up.
	last func(ctx context.Context, legs map[string]Leg, r *result.Run) error
}

// group makes a suite and starts its brokers.
type group struct {
	name  string
	start func(ctx context.Context, o Options, self *role.Program) (*suite, error)
}

// measure starts the legs that o wants, visits the cells, judges the goals and stops the legs. What was measured is added to r.
// A rival that fails is reported as failed; anything else that fails is an error.
func (s *suite) measure(ctx context.Context, o Options, r *result.Run, progress func(done, all int, c *result.Cell)) (err error) {
	for _, b := range s.brokers {
		info, err := b.info(ctx)
		if err != nil {
			return err
		}
		r.Meta.Versions[info.Name] = info.Version
	}
	maps.Copy(r.Meta.Versions, s.versions)
	legs := map[string]Leg{}
	for _, l := range s.legs {
		if !slices.ContainsFunc(s.cells, func(c result.Cell) bool { return c.Leg == l.about.Name && o.wants(c) }) {
			continue
		}
		if err := l.describe(ctx); err != nil {
			return err
		}
		failed := l.Start(ctx)
		if failed != nil && (!l.about.Rival || ctx.Err() != nil) {
			return failed
		}
		if failed != nil {
			l.about.Failed = failed.Error()
		} else {
			defer func() { err = errors.Join(err, l.Stop()) }()
			legs[l.about.Name] = l
		}
		if r.Leg(l.about.Name) == nil {
			r.Legs = append(r.Legs, l.about)
		}
	}
	in, cells, err := s.plans(ctx, o, legs)
	if err != nil {
		return err
	}
	in.progress = progress
	if err := in.run(ctx); err != nil {
		return err
	}
	for _, c := range cells {
		if l, ok := legs[c.Leg].(*processLeg); ok && c.Failed == "" {
			if c.Connections, err = l.connections(ctx); err != nil {
				return err
			}
		}
		r.Cells = append(r.Cells, *c)
	}
	for _, g := range s.goals {
		r.Goals = append(r.Goals, g.judge(r, s.group))
	}
	if s.last != nil {
		err = s.last(ctx, legs, r)
	}
	return err
}

// plans are the cells that are wanted, with their loads.
func (s *suite) plans(ctx context.Context, o Options, legs map[string]Leg) (*interleaver, []*result.Cell, error) {
	in := &interleaver{rounds: o.Rounds, warmup: s.warmup, seed: o.Seed}
	if s.rounds > 0 && !o.brief {
		in.rounds = s.rounds
	}
	if s.workload != nil && s.workload.Seed != 0 {
		in.seed = s.workload.Seed
	}
	visit := o.Visit
	if s.visit > 0 && !o.brief {
		visit = s.visit
	}
	var cells []*result.Cell
	reference := 0.0
	for _, c := range s.cells {
		leg := legs[c.Leg]
		if !o.wants(c) {
			continue
		}
		c.Group = s.group
		if leg == nil {
			for _, l := range s.legs {
				if l.about.Name == c.Leg && l.about.Failed != "" {
					c.Failed = l.about.Failed
					cells = append(cells, &c)
				}
			}
			continue
		}
		l, err := s.load(o, &c)
		if err != nil {
			return nil, nil, err
		}
		if c.Load != "" {
			if reference == 0 {
				if reference, err = s.saturation(ctx, in, o, legs, visit); err != nil {
					return nil, nil, err
				}
			}
			c.Rate = reference * share(c.Load)
			l.Rate, l.Arrival = c.Rate, c.Arrival
		}
		cells = append(cells, &c)
		p := &plan{Cell: &c, leg: leg, load: l, visit: visit}
		if s.paced > 0 && c.Rate > 0 {
			p.visit *= time.Duration(s.paced)
		}
		in.plans = append(in.plans, p)
	}
	if len(in.plans) == 0 && len(cells) == 0 {
		return nil, nil, fmt.Errorf("bench: --legs names none of what %s has: %v", s.group, s.names())
	}
	return in, cells, nil
}

// load is what a cell's visits do, but for the number of calls. It completes what the cell says of its load.
func (s *suite) load(o Options, c *result.Cell) (load.Load, error) {
	switch {
	case s.workload != nil && c.Workload == s.workload.Name:
		c.Size = s.workload.MeanSize()
		l := s.workload.Load()
		l.InFlight = c.InFlight
		return l, nil
	case c.Workload == "" && o.Size != workload.Default().MeanSize():
		c.Size = o.Size
		return load.Load{InFlight: c.InFlight, Size: o.Size}, nil
	case c.Workload == "":
		c.Workload = result.DefaultWorkload
	}
	w, err := workload.Preset(c.Workload)
	if err != nil {
		return load.Load{}, err
	}
	c.Size = w.MeanSize()
	l := w.Load()
	l.InFlight, l.Rate = c.InFlight, c.Rate
	return l, nil
}

// saturation is the reference's rate in closed loop, the better of two visits.
func (s *suite) saturation(ctx context.Context, in *interleaver, o Options, legs map[string]Leg, visit time.Duration) (float64, error) {
	c := s.reference
	c.Group = s.group
	leg := legs[c.Leg]
	if leg == nil {
		return 0, fmt.Errorf("bench: %s: its rates are shares of %s, which is left out; name it in --legs too", s.group, c.Leg)
	}
	l, err := s.load(o, &c)
	if err != nil {
		return 0, err
	}
	p := &plan{Cell: &c, leg: leg, load: l, visit: visit}
	if err := in.warm(ctx, p); err != nil {
		return 0, err
	}
	best := 0.0
	for range 2 {
		v, err := in.visit(ctx, p, p.load)
		if err != nil {
			return 0, err
		}
		best = max(best, float64(v.OK)/v.Elapsed.Seconds())
	}
	return best, nil
}

// share is what a cell's Load says: "50%".
func share(text string) float64 {
	var percent float64
	_, _ = fmt.Sscanf(text, "%f%%", &percent)
	return percent / 100
}

func (s *suite) names() []string {
	var out []string
	for _, l := range s.legs {
		out = append(out, l.about.Name)
	}
	return out
}

// describe completes what the leg says of itself by what its broker is.
func (l *processLeg) describe(ctx context.Context) error {
	if l.broker == nil {
		if l.about.Class == "" {
			l.about.Class = result.ClassNone
		}
		return nil
	}
	info, err := l.broker.info(ctx)
	if err != nil {
		return err
	}
	if l.about.Broker == "" {
		l.about.Broker = strings.TrimSuffix(info.Name, "-server")
	}
	if l.about.Class == "" {
		l.about.Class, l.about.Durability = info.Class, info.Durability
	}
	return nil
}
