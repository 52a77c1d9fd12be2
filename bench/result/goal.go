package result

import "fmt"

// What a goal compares.
const (
	WhatRate   = "rate"
	WhatCPU    = "CPU per call"
	WhatP50    = "p50"
	WhatP99    = "p99"
	WhatAllocs = "allocations per call"
	WhatConns  = "connections"
	WhatHeap   = "heap"
	// WhatP99Of is followed by a class's name.
	WhatP99Of = "p99 of "
)

// The verdicts.
const (
	Met         = "met"
	Unmet       = "UNMET"
	NotMeasured = "not measured"
	NoGoal      = "" // shown for comparison only
)

// Goal is a ratio of two cells of one group, or a figure of one, with the value that it is meant to reach.
type Goal struct {
	Title string `json:"title"`
	What  string `json:"what"`
	// Num and Den are keys of cells. Without Den the figure of Num itself is judged.
	Num string `json:"num"`
	Den string `json:"den,omitempty"`
	// AtLeast or AtMost is the goal; with neither the ratio is shown for comparison.
	AtLeast float64 `json:"at_least,omitempty"`
	AtMost  float64 `json:"at_most,omitempty"`
	// Ratio is over the rounds; Rounds are its values.
	Ratio  Spread    `json:"ratio"`
	Rounds []float64 `json:"rounds,omitempty"`
	// Verdict is one of the above.
	Verdict string `json:"verdict"`
	// Classes is set when the two legs' durability classes differ: "process ÷ none".
	Classes string `json:"classes,omitempty"`
	// Note says what the reader should know: why it was not measured, or what limits it.
	Note string `json:"note,omitempty"`
}

// Target is what the goal asks for, in words.
func (g Goal) Target() string {
	switch {
	case g.AtMost > 0:
		return fmt.Sprintf("≤ %g", g.AtMost)
	case g.AtLeast > 0:
		return fmt.Sprintf("≥ %g", g.AtLeast)
	}
	return "—"
}

// Spread is the middle and the ends of a series, one value a round.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// Soak is one long run.
type Soak struct {
	Leg     string  `json:"leg"`
	Calls   int     `json:"calls"`
	OK      int     `json:"ok"`
	Rate    float64 `json:"rate"`
	Elapsed int64   `json:"elapsed_ns"`
	// Heap and RSS of each process in bytes, as they were along the run.
	Memory []Memory `json:"memory,omitempty"`
	// Longest is the most entries seen in any of the leg's streams, Cap what none may hold afterwards.
	Longest int64    `json:"longest"`
	Cap     int64    `json:"cap"`
	Streams []Stream `json:"streams,omitempty"`
	// Clean says that nothing is pending and no stream is longer than its cap.
	Clean bool `json:"clean"`
}

// Memory is what each process held after so many calls.
type Memory struct {
	Calls int `json:"calls"`
	// Heap is live objects after a collection, by part; RSS what the system counts.
	Heap map[string]uint64 `json:"heap_bytes,omitempty"`
	RSS  map[string]uint64 `json:"rss_bytes,omitempty"`
}

// Stream is what the broker held of one stream after a soak.
type Stream struct {
	Key     string `json:"key"`
	Length  int64  `json:"length"`
	Pending int64  `json:"pending"`
	Unread  int64  `json:"unread"`
}
