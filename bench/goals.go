package bench

import (
	"github.com/streamerson/streamerson/bench/result"
)

// busy is the number of calls in flight that throughput is measured at.
const busy = 256

// Goal is a comparison of two cells of a suite by their names within it ("redis-rpc@256"), with the value that it is meant to
// reach: AtLeast or AtMost, the other is 0. With neither it is shown for comparison. Without Den the figure of Num is judged.
type Goal struct {
	Title, What, Num, Den string
	AtLeast, AtMost       float64
	// Note tells the reader what to know.
	Note string
}

// judge finds the goal's cells in a group of the run.
func (g Goal) judge(r *result.Run, group string) result.Goal {
	out := result.Goal{
		Title: g.Title, What: g.What, Num: group + "/" + g.Num, AtLeast: g.AtLeast, AtMost: g.AtMost, Note: g.Note, Verdict: result.NotMeasured,
	}
	if g.Den != "" {
		out.Den = group + "/" + g.Den
	}
	num, den := r.Cell(out.Num), r.Cell(out.Den)
	for _, c := range []*result.Cell{num, den} {
		if c != nil && c.Failed != "" {
			out.Note = c.Failed
		}
	}
	if num == nil || len(num.Rounds) == 0 || g.Den != "" && (den == nil || len(den.Rounds) == 0) {
		return out
	}
	out.Rounds = figures(g.What, num)
	if g.Den != "" {
		out.Rounds = result.Ratios(out.Rounds, figures(g.What, den))
		if a, b := r.Leg(num.Leg), r.Leg(den.Leg); a != nil && b != nil && a.Class != b.Class {
			out.Classes = a.Class + " ÷ " + b.Class
		}
	}
	if len(out.Rounds) == 0 {
		return out
	}
	settle(&out)
	return out
}

// settle gives the verdict from the rounds' values.
func settle(g *result.Goal) {
	g.Ratio = result.SpreadOf(g.Rounds)
	switch m := g.Ratio.Median; {
	case g.AtLeast == 0 && g.AtMost == 0:
		g.Verdict = result.NoGoal
	case m >= g.AtLeast && (g.AtMost == 0 || m <= g.AtMost):
		g.Verdict = result.Met
	default:
		g.Verdict = result.Unmet
	}
}

// figures are one value a round.
func figures(what string, c *result.Cell) []float64 {
	if what == result.WhatConns { // counted once
		most := 0
		for _, n := range c.Connections {
			most = max(most, n)
		}
		return []float64{float64(most)}
	}
	out := make([]float64, len(c.Rounds))
	for i, r := range c.Rounds {
		out[i] = result.Figure(what, r)
	}
	return out
}
