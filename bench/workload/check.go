package workload

import (
	"fmt"
	"math"

	"github.com/streamerson/streamerson/bench/load"
)

// problem is one thing that is wrong, with what to do.
type problem struct{ field, message string }

// checker collects them.
type checker struct{ problems []problem }

func (c *checker) want(ok bool, field, message string, args ...any) {
	if !ok {
		c.problems = append(c.problems, problem{field, fmt.Sprintf(message, args...)})
	}
}

func (w *Workload) check() []problem {
	var c checker
	c.want(w.Name != "", "name", "is missing; results are told apart by it")
	c.want(w.Duration > 0, "duration", "is %v; give a time such as 10s", w.Duration)
	c.want(w.Calls >= 0, "calls", "is %d; give a number, or leave it out to use the duration", w.Calls)
	c.want(w.InFlight >= 1 && w.InFlight <= maxInFlight, "in_flight", "is %d; give 1 to %d", w.InFlight, maxInFlight)
	c.want(w.Streams >= 1 && w.Streams <= maxStreams, "streams", "is %d; give 1 to %d", w.Streams, maxStreams)
	c.want(w.Routes >= 0 && w.Routes <= maxRoutes, "idle_routes", "is %d; give 0 to %d", w.Routes, maxRoutes)
	c.want(w.Slots >= 0 && w.Slots <= maxInFlight, "slots", "is %d; give 1 to %d, or leave it out for 256", w.Slots, maxInFlight)
	c.want(w.Streams == 1 || len(w.Classes) == 0, "streams", "and classes can't be combined; give classes streams of their own")
	if a := w.Arrival; a != nil {
		c.want(a.Rate > 0 && !math.IsInf(a.Rate, 0), "arrival.rate", "is %v; give calls a second, or leave arrival out for a closed loop", a.Rate)
		c.want(a.Process == load.Poisson || a.Process == load.Constant, "arrival.process", "is %q; give %s or %s", a.Process, load.Poisson, load.Constant)
	}
	w.checkPayload(&c)
	w.checkClasses(&c)
	return c.problems
}

func (w *Workload) checkPayload(c *checker) {
	p, given := w.Payload, 0
	least := load.MinSize
	if len(w.Classes) > 0 {
		least = load.MinKindSize
	}
	size := func(n int, field string) {
		c.want(n >= least && n <= maxSize, field, "is %d; give %d to %d bytes", n, least, maxSize)
	}
	if p.Fixed != 0 {
		given++
		size(p.Fixed, "payload.fixed")
	}
	if len(p.List) > 0 {
		given++
		for i, s := range p.List {
			size(s.Size, fmt.Sprintf("payload.list[%d].size", i))
			c.want(s.Weight > 0, fmt.Sprintf("payload.list[%d].weight", i), "is %v; give a number above 0", s.Weight)
		}
	}
	if u := p.Uniform; u != nil {
		given++
		size(u.Min, "payload.uniform.min")
		size(u.Max, "payload.uniform.max")
		c.want(u.Min <= u.Max, "payload.uniform.max", "is %d, below min; give %d or more", u.Max, u.Min)
	}
	c.want(given <= 1, "payload", "has more than one of fixed, list and uniform; keep one")
}

func (w *Workload) checkClasses(c *checker) {
	names := map[string]bool{}
	for i, k := range w.Classes {
		at := fmt.Sprintf("classes[%d].", i)
		c.want(k.Name != "" && !names[k.Name], at+"name", "is %q; give each class a name of its own", k.Name)
		names[k.Name] = true
		c.want(k.Share > 0, at+"share", "is %v; give a number above 0", k.Share)
		c.want(k.CPU >= 0 && k.CPU.D() <= maxWork, at+"cpu", "is %v; give 0s to %v", k.CPU, maxWork)
		c.want(k.Min >= 0, at+"min", "is %d; give the slots that are reserved, or leave it out", k.Min)
		c.want(k.Max >= 0 && (k.Max == 0 || k.Max >= k.Min), at+"max", "is %d; give at least min, or leave it out for no limit", k.Max)
	}
}
