package load

import (
	"context"
	"time"
)

// Caller makes one call at a time: echo body. dst is a buffer that the reply may be appended to, so that callers which
// read into memory need not allocate; the reply is valid until the same goroutine's next call. It is called by many
// goroutines at once.
type Caller interface {
	Call(ctx context.Context, dst, body []byte) ([]byte, error)
}

// How arrivals are spaced in open loop.
const (
	// Poisson is the spacing of many independent users: exponentially distributed gaps.
	Poisson = "poisson"
	// Constant gaps are what a clock makes.
	Constant = "constant"
)

// Load is one visit's work.
type Load struct {
	// Calls in all. InFlight at once: always in closed loop, at most in open loop. Size of each body in bytes (at least 8).
	Calls, InFlight, Size int
	// Rate is the arrivals a second of an open loop; 0 is closed loop. An arrival that finds InFlight calls outstanding is
	// counted as dropped and never made: neither delayed nor forgotten.
	Rate float64 `json:",omitempty"`
	// Arrival is Poisson, which "" means as well, or Constant.
	Arrival string `json:",omitempty"`
	// Seed of arrivals, sizes and kinds: the same seed gives the same calls at the same times.
	Seed uint64 `json:",omitempty"`
	// Sizes, if given, stand for Size: each call's body has one of them, by weight.
	Sizes []Sizes `json:",omitempty"`
	// Kinds, if given, are told apart by the callee: the body says how long it shall work; see Demand.
	Kinds []Kind `json:",omitempty"`
}

// Sizes is an even distribution of a body's size, in bytes, both ends included.
type Sizes struct {
	Min, Max int
	Weight   float64
}

// Kind is one of the kinds of calls that a workload mixes.
type Kind struct {
	Name string
	// Weight is its share of the calls, against the sum of all weights.
	Weight float64
	// Work is the CPU time that the callee spends on it.
	Work time.Duration
}

// Result is what a client measured in one visit. Durations are nanoseconds in JSON. A client in another language may leave
// out what it can't tell.
type Result struct {
	Load
	// Elapsed is from the first call's start, or in open loop the first arrival's time, to the last one's end.
	Elapsed time.Duration
	// CPU is the client process's user and system time meanwhile.
	CPU time.Duration
	// OK replies had the right bytes, Wrong ones not; Dropped arrivals were not made; Errors counts the rest by text.
	// OK + Wrong + Dropped + Errors = Calls.
	OK, Wrong int
	Dropped   int `json:",omitempty"`
	Errors    map[string]int
	// Latencies of the OK replies, by nearest rank.
	P50, P90, P99, P999, Max time.Duration
	// HDR is the same as a histogram of nanoseconds, in HdrHistogram's V2 compressed form and base64; "" if the client has
	// none, and then a round's quantiles are the means of its visits'.
	HDR string `json:",omitempty"`
	// Late is how long after its time a call was really begun, on average.
	Late time.Duration `json:",omitempty"`
	// Kinds are those of Load, by name.
	Kinds map[string]KindResult `json:",omitempty"`
}

// KindResult is what became of one kind of calls.
type KindResult struct {
	OK int
	// HDR as in Result.
	HDR string
}

// Failed is the number of calls that were made and didn't bring the right bytes.
func (r Result) Failed() int { return r.Calls - r.OK - r.Dropped }
