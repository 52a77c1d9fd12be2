package bench

import (
	"slices"
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	for _, tc := range []struct {
		values []float64
		want   Spread
	}{
		{nil, Spread{}},
		{[]float64{3}, Spread{3, 3, 3}},
		{[]float64{9, 1, 5}, Spread{5, 1, 9}},
		{[]float64{4, 1, 3, 2}, Spread{2.5, 1, 4}},
	} {
		if got := spread(tc.values); got != tc.want {
			t.Errorf("spread(%v) = %v, want %v", tc.values, got, tc.want)
		}
	}
}

func TestRatiosAreTakenRoundByRound(t *testing.T) {
	// The second round was slow for both: its ratio is as good as the others'.
	if got := ratios([]float64{20, 2, 20}, []float64{10, 1, 10}); !slices.Equal(got, []float64{2, 2, 2}) {
		t.Errorf("got %v", got)
	}
	if got := ratios([]float64{1, 2}, []float64{0, 1}); !slices.Equal(got, []float64{2}) {
		t.Errorf("a round without denominator: got %v", got)
	}
}

func TestRoundAddsVisits(t *testing.T) {
	visit := func(calls, wrong int, took time.Duration) Visit {
		return Visit{
			LoadResult: LoadResult{Load: Load{Calls: calls}, OK: calls - wrong, Wrong: wrong, Elapsed: took, P50: took},
			PartCPU:    map[string]time.Duration{PartClient: took, PartWorker: took},
			Counters:   map[string]int64{"client.publish.items": 2},
		}
	}
	r := roundOf(visit(100, 0, time.Second), visit(300, 10, 3*time.Second))
	if r.Calls != 400 || r.Failed != 10 || r.Elapsed != 4*time.Second || r.P50 != 2*time.Second {
		t.Errorf("got %+v", r)
	}
	if got := r.Rate(); got != 97.5 { // 390 good replies in 4 s: failed calls earn nothing
		t.Errorf("rate %v, want 97.5", got)
	}
	if got := r.CPU(); got != 20_000 { // 8 s for 400 calls
		t.Errorf("CPU %v µs a call, want 20000", got)
	}
	if r.Errors["reply with wrong bytes"] != 10 || r.Counters["client.publish.items"] != 4 {
		t.Errorf("got %+v", r)
	}
}

func TestGoalJudge(t *testing.T) {
	rate := func(perSecond ...int) (rounds []Round) {
		for _, n := range perSecond {
			rounds = append(rounds, Round{Calls: n, Elapsed: time.Second, P50: time.Duration(n), PartCPU: map[string]time.Duration{PartClient: time.Second}})
		}
		return rounds
	}
	a, b := Cell{"a", 1}, Cell{"b", 1}
	cells := map[Cell][]Round{a: rate(30, 20, 50), b: rate(10, 10, 10)}
	for _, tc := range []struct {
		goal     Goal
		measured bool
		median   float64
		verdict  string
	}{
		{Goal{"at least", a, b, WhatRate, 3, 0}, true, 3, "met"},
		{Goal{"at least, missed", a, b, WhatRate, 3.1, 0}, true, 3, "UNMET"},
		{Goal{"at most", a, b, WhatP50, 0, 3}, true, 3, "met"},
		{Goal{"at most, missed", a, b, WhatP50, 0, 2.9}, true, 3, "UNMET"},
		{Goal{"CPU is a call's, not a run's", b, a, WhatCPU, 0, 3}, true, 3, "met"},
		{Goal{"left out", a, Cell{"c", 1}, WhatRate, 0, 100}, false, 0, "not measured"},
		{Goal{"a comparison", a, b, WhatRate, 0, 0}, true, 3, ""},
	} {
		g := tc.goal.judge(cells)
		if g.Measured != tc.measured || g.Ratio.Median != tc.median || g.verdict() != tc.verdict {
			t.Errorf("%s: got %+v", tc.goal.Title, g)
		}
	}
}
