package bench

import "fmt"

// What a goal compares.
const (
	WhatRate = "rate"
	WhatCPU  = "CPU per call"
	WhatP50  = "p50"
)

// Goal is a ratio of two cells of one run, with the value it is meant to reach: AtLeast or AtMost, the other is 0. With
// neither it is shown for comparison.
type Goal struct {
	Title    string
	Num, Den Cell
	What     string
	AtLeast  float64 `json:",omitempty"`
	AtMost   float64 `json:",omitempty"`
}

// busy is the number of calls in flight that throughput is measured at.
const busy = 256

// redisGoals are issue 3's, each at 128 bytes.
var redisGoals = []Goal{
	{"rpc ÷ hand-pipelined go-redis", Cell{LegRPC, busy}, Cell{LegHand, busy}, WhatRate, 0.9, 0},
	{"rpc ÷ hand-pipelined go-redis", Cell{LegRPC, busy}, Cell{LegHand, busy}, WhatCPU, 0, 0},
	{"rpc ÷ naive go-redis", Cell{LegRPC, busy}, Cell{LegNaive, busy}, WhatRate, 8, 0},
	{"rpc ÷ direct net/http", Cell{LegRPC, busy}, Cell{LegHTTP, busy}, WhatRate, 2, 0},
	{"rpc ÷ direct net/http", Cell{LegRPC, busy}, Cell{LegHTTP, busy}, WhatCPU, 0, 0},
	{"gateway+Redis+worker ÷ http→http proxy", Cell{LegGateway, busy}, Cell{LegProxy, busy}, WhatRate, 1.6, 0},
	{"gateway+Redis+worker ÷ http→http proxy", Cell{LegGateway, busy}, Cell{LegProxy, busy}, WhatCPU, 0, 0.55},
	{"gateway+Redis+worker ÷ proxy with pooled buffers", Cell{LegGateway, busy}, Cell{LegPooled, busy}, WhatRate, 0, 0},
	{"gateway+Redis+worker ÷ proxy with pooled buffers", Cell{LegGateway, busy}, Cell{LegPooled, busy}, WhatCPU, 0, 0},
	{"one call in flight: rpc ÷ net/http", Cell{LegRPC, 1}, Cell{LegHTTP, 1}, WhatP50, 0, 2.5},
}

// GoalResult is a goal with what was measured.
type GoalResult struct {
	Goal
	// Measured is false when a cell was left out of the run; then the rest is zero.
	Measured bool
	Ratio    Spread
	Met      bool
}

func (g Goal) target() string {
	switch {
	case g.AtMost > 0:
		return fmt.Sprintf("≤ %g", g.AtMost)
	case g.AtLeast > 0:
		return fmt.Sprintf("≥ %g", g.AtLeast)
	}
	return "—"
}

// verdict is met, UNMET, not measured, or nothing for a comparison without a goal.
func (g GoalResult) verdict() string {
	switch {
	case !g.Measured:
		return "not measured"
	case g.AtLeast == 0 && g.AtMost == 0:
		return ""
	case g.Met:
		return "met"
	}
	return "UNMET"
}

func (g Goal) judge(cells map[Cell][]Round) GoalResult {
	num, den := cells[g.Num], cells[g.Den]
	if len(num) == 0 || len(den) == 0 {
		return GoalResult{Goal: g}
	}
	s := spread(ratios(g.values(num), g.values(den)))
	return GoalResult{Goal: g, Measured: true, Ratio: s, Met: s.Median >= g.AtLeast && (g.AtMost == 0 || s.Median <= g.AtMost)}
}

func (g Goal) values(rounds []Round) []float64 {
	out := make([]float64, len(rounds))
	for i, r := range rounds {
		switch g.What {
		case WhatCPU:
			out[i] = r.CPU()
		case WhatP50:
			out[i] = float64(r.P50)
		default:
			out[i] = r.Rate()
		}
	}
	return out
}
