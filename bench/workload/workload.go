package workload

import (
	"math"
	"time"

	"github.com/streamerson/streamerson/bench/load"
	"github.com/streamerson/streamerson/bench/role"
)

// The defaults of what a file leaves out.
const (
	// DefaultDuration of one visit of one leg.
	DefaultDuration = 10 * time.Second
	// DefaultInFlight is the most calls outstanding in open loop, and the number in closed loop.
	DefaultInFlight = 256
	// DefaultSize of a body in bytes.
	DefaultSize = 128
	// maxStreams, maxRoutes and maxInFlight are far above what one machine is for; a larger number is a mistake.
	maxStreams  = 10_000
	maxRoutes   = 100_000
	maxInFlight = 100_000
	// maxSize of a body in bytes is what transports take by default.
	maxSize = 8 << 20
	// maxWork of one call: bodies carry it in 32 bits of microseconds.
	maxWork = 10 * time.Minute
)

// Workload is one file.
type Workload struct {
	// Name tells it from others in results.
	Name string `yaml:"name"`
	// About says in a sentence what it is for.
	About string `yaml:"about"`
	// Arrival is how calls begin; without it they are a closed loop.
	Arrival *Arrival `yaml:"arrival"`
	// Duration of one visit of one leg, or Calls; Calls 0 means as many as the duration takes.
	Duration Duration `yaml:"duration"`
	Calls    int      `yaml:"calls"`
	// InFlight is how many calls are outstanding: always in closed loop, at most in open loop.
	InFlight int     `yaml:"in_flight"`
	Payload  Payload `yaml:"payload"`
	// Classes are the kinds of calls that it mixes, by what they cost the callee; none means calls that cost nothing.
	Classes []Class `yaml:"classes"`
	// Streams that calls are spread over, 1 by default. Routes of the gateway that nobody calls, 0 by default.
	Streams int `yaml:"streams"`
	Routes  int `yaml:"idle_routes"`
	// Slots is how many requests a worker takes at once; 0 means 256.
	Slots int `yaml:"slots"`
	// Legs that it is meant for, unless the user names others.
	Legs []string `yaml:"legs"`
	// Seed of arrivals, sizes and classes; 0 means the run's.
	Seed uint64 `yaml:"seed"`
}

// Arrival is an open loop.
type Arrival struct {
	// Process is load.Poisson (the default) or load.Constant.
	Process string `yaml:"process"`
	// Rate is calls a second.
	Rate float64 `yaml:"rate"`
}

// Payload is how large bodies are, in bytes: one of its fields, or none for DefaultSize.
type Payload struct {
	Fixed   int         `yaml:"fixed"`
	List    []SizeShare `yaml:"list"`
	Uniform *Range      `yaml:"uniform"`
}

// SizeShare is one size with its share of the calls.
type SizeShare struct {
	Size   int     `yaml:"size"`
	Weight float64 `yaml:"weight"`
}

// Range has all sizes from Min to Max alike.
type Range struct {
	Min int `yaml:"min"`
	Max int `yaml:"max"`
}

// Class is a kind of call.
type Class struct {
	Name string `yaml:"name"`
	// Share of the calls, against the sum of all shares.
	Share float64 `yaml:"share"`
	// CPU time that the callee spends on one.
	CPU Duration `yaml:"cpu"`
	// Stream of its own, "" for the workload's: classes of one stream share its slots, of which Min are reserved for it and Max
	// are the most it takes.
	Stream string `yaml:"stream"`
	Min    int    `yaml:"min"`
	Max    int    `yaml:"max"`
}

// Load is what a visit does, but for the number of calls where the duration says it.
func (w *Workload) Load() load.Load {
	l := load.Load{Calls: w.Calls, InFlight: w.InFlight, Size: w.Payload.Fixed, Seed: w.Seed}
	if w.Arrival != nil {
		l.Rate, l.Arrival = w.Arrival.Rate, w.Arrival.Process
	}
	for _, s := range w.Payload.List {
		l.Sizes = append(l.Sizes, load.Sizes{Min: s.Size, Max: s.Size, Weight: s.Weight})
	}
	if u := w.Payload.Uniform; u != nil {
		l.Sizes = append(l.Sizes, load.Sizes{Min: u.Min, Max: u.Max, Weight: 1})
	}
	for _, c := range w.Classes {
		l.Kinds = append(l.Kinds, load.Kind{Name: c.Name, Weight: c.Share, Work: c.CPU.D()})
	}
	return l
}

// Spec is what a leg's processes must be told for it.
func (w *Workload) Spec() role.Spec {
	s := role.Spec{Streams: w.Streams, Routes: w.Routes, Slots: w.Slots}
	for _, c := range w.Classes {
		s.Kinds = append(s.Kinds, role.Kind{Name: c.Name, Stream: c.Stream, Min: c.Min, Max: c.Max})
	}
	return s
}

// MeanSize is the mean of its bodies in bytes.
func (w *Workload) MeanSize() int {
	sum, weight := 0.0, 0.0
	for _, s := range w.Load().Sizes {
		sum += s.Weight * float64(s.Min+s.Max) / 2
		weight += s.Weight
	}
	if weight == 0 {
		return w.Payload.Fixed
	}
	return int(math.Round(sum / weight))
}

// MeanWork is the mean CPU time that a call asks of its callee.
func (w *Workload) MeanWork() time.Duration {
	sum, weight := 0.0, 0.0
	for _, c := range w.Classes {
		sum += c.Share * float64(c.CPU)
		weight += c.Share
	}
	if weight == 0 {
		return 0
	}
	return time.Duration(sum / weight)
}

func (w *Workload) fill() {
	if w.Duration == 0 {
		w.Duration = Duration(DefaultDuration)
	}
	if w.InFlight == 0 {
		w.InFlight = DefaultInFlight
	}
	if w.Streams == 0 {
		w.Streams = 1
	}
	if w.Payload.Fixed == 0 && len(w.Payload.List) == 0 && w.Payload.Uniform == nil {
		w.Payload.Fixed = DefaultSize
	}
	if w.Arrival != nil && w.Arrival.Process == "" {
		w.Arrival.Process = load.Poisson
	}
}
