package result

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Failed is the number of calls that brought no reply or a wrong one.
func (r Round) Failed() int { return r.Calls - r.OK - r.Dropped }

// Rate is calls that succeeded, a second.
func (r Round) Rate() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.OK) / r.Elapsed.Seconds()
}

// made is the calls that were really made: what costs are divided by.
func (r Round) made() int { return r.Calls - r.Dropped }

// PartCPU is one process's microseconds of CPU a call; ok is false when the leg has no such process.
func (r Round) PartCPU(part string) (us float64, ok bool) {
	d, ok := r.CPU[part]
	return per(float64(d)/1e3, r.made()), ok
}

// CPUPerCall is the microseconds of all processes, a call.
func (r Round) CPUPerCall() float64 {
	var sum time.Duration
	for _, d := range r.CPU {
		sum += d
	}
	return per(float64(sum)/1e3, r.made())
}

// AllocsPerCall is the objects that all processes which can tell took from the heap, a call.
func (r Round) AllocsPerCall() float64 {
	var n uint64
	for _, a := range r.Allocs {
		n += a.Objects
	}
	return per(float64(n), r.made())
}

// CommandsPerCall is the broker's commands of all names, a call; 0 when it doesn't tell.
func (r Round) CommandsPerCall() float64 {
	var n int64
	for _, v := range r.Broker.Commands {
		n += v
	}
	return per(float64(n), r.made())
}

// BrokerBytesPerCall is the broker's traffic both ways, a call; 0 when it doesn't tell.
func (r Round) BrokerBytesPerCall() float64 {
	return per(float64(r.Broker.BytesIn+r.Broker.BytesOut), r.made())
}

// Batch is the mean size of the batches of one kind ("publish", "settle"), whichever part counted them; 0 if none did.
func (r Round) Batch(kind string) float64 {
	var items, batches int64
	for k, v := range r.Counters {
		switch {
		case strings.HasSuffix(k, kind+".items"):
			items += v
		case strings.HasSuffix(k, kind+".batches"):
			batches += v
		}
	}
	return per(float64(items), int(batches))
}

// Over is the spread of a figure over the cell's rounds.
func (c *Cell) Over(f func(Round) float64) Spread {
	values := make([]float64, len(c.Rounds))
	for i, r := range c.Rounds {
		values[i] = f(r)
	}
	return SpreadOf(values)
}

// PartCPU is the spread of Round.PartCPU; ok is false when the cell's leg has no such process.
func (c *Cell) PartCPU(part string) (us Spread, ok bool) {
	if len(c.Rounds) > 0 {
		_, ok = c.Rounds[0].PartCPU(part)
	}
	return c.Over(func(r Round) float64 { v, _ := r.PartCPU(part); return v }), ok
}

// Latency is the spread of one of the quantiles, in nanoseconds.
func (c *Cell) Latency(of func(Quantiles) time.Duration) Spread {
	return c.Over(func(r Round) float64 { return float64(of(r.Latency)) })
}

// PartCounts names what each part has of something: "client 2, worker 3"; "" for nothing.
func PartCounts(m map[string]int) string {
	var out []string
	for _, p := range Parts {
		if m[p] > 0 {
			out = append(out, fmt.Sprintf("%s %d", p, m[p]))
		}
	}
	return strings.Join(out, ", ")
}

// Figure reads what a goal compares out of a round: durations in nanoseconds, CPU in microseconds.
func Figure(what string, r Round) float64 {
	switch what {
	case WhatCPU:
		return r.CPUPerCall()
	case WhatP50:
		return float64(r.Latency.P50)
	case WhatP99:
		return float64(r.Latency.P99)
	case WhatAllocs:
		return r.AllocsPerCall()
	}
	if class, ok := strings.CutPrefix(what, WhatP99Of); ok {
		return float64(r.Classes[class].Latency.P99)
	}
	return r.Rate()
}

// SpreadOf no values is all zero.
func SpreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	s := slices.Sorted(slices.Values(values))
	m := s[len(s)/2]
	if len(s)%2 == 0 {
		m = (s[len(s)/2-1] + m) / 2
	}
	return Spread{Median: m, Min: s[0], Max: s[len(s)-1]}
}

// Ratios divides round by round, so that what slowed a whole round down leaves its ratio as it is. Rounds without a
// denominator are left out.
func Ratios(num, den []float64) []float64 {
	var out []float64
	for i := range min(len(num), len(den)) {
		if den[i] != 0 {
			out = append(out, num[i]/den[i])
		}
	}
	return out
}

func per(total float64, n int) float64 {
	if n == 0 {
		return 0
	}
	return total / float64(n)
}
