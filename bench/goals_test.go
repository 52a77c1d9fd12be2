package bench

import (
	"testing"
	"time"

	"github.com/streamerson/streamerson/bench/result"
)

func TestGoalsAreJudgedByTheMedianOfTheRounds(t *testing.T) {
	cell := func(leg string, perSecond ...int) result.Cell {
		c := result.Cell{Group: "g", Leg: leg, InFlight: 1, Connections: map[string]int{result.PartClient: 2, result.PartWorker: 3}}
		for _, n := range perSecond {
			c.Rounds = append(c.Rounds, result.Round{
				Calls: n, OK: n, Elapsed: time.Second, Latency: result.Quantiles{P50: time.Duration(n)}, CPU: map[string]time.Duration{result.PartClient: time.Second},
				Classes: map[string]result.Class{"read": {Latency: result.Quantiles{P99: time.Duration(2 * n)}}},
			})
		}
		return c
	}
	r := &result.Run{
		Legs:  []result.Leg{{Name: "a", Class: result.ClassProcess}, {Name: "b", Class: result.ClassNone}, {Name: "c", Class: result.ClassNone}},
		Cells: []result.Cell{cell("a", 30, 20, 50), cell("b", 10, 10, 10), cell("c")},
	}
	r.Cells[2].Failed = "not installed"
	for _, tc := range []struct {
		goal    Goal
		median  float64
		verdict string
	}{
		{Goal{Title: "at least", What: result.WhatRate, Num: "a@1", Den: "b@1", AtLeast: 3}, 3, result.Met},
		{Goal{Title: "at least, missed", What: result.WhatRate, Num: "a@1", Den: "b@1", AtLeast: 3.1}, 3, result.Unmet},
		{Goal{Title: "at most", What: result.WhatP50, Num: "a@1", Den: "b@1", AtMost: 3}, 3, result.Met},
		{Goal{Title: "at most, missed", What: result.WhatP50, Num: "a@1", Den: "b@1", AtMost: 2.9}, 3, result.Unmet},
		{Goal{Title: "CPU is a call's, not a run's", What: result.WhatCPU, Num: "b@1", Den: "a@1", AtMost: 3}, 3, result.Met},
		{Goal{Title: "a kind of calls", What: result.WhatP99Of + "read", Num: "a@1", Den: "b@1", AtMost: 3}, 3, result.Met},
		{Goal{Title: "a figure by itself", What: result.WhatConns, Num: "a@1", AtMost: 3}, 3, result.Met},
		{Goal{Title: "no such cell", What: result.WhatRate, Num: "a@1", Den: "x@1", AtMost: 100}, 0, result.NotMeasured},
		{Goal{Title: "a cell that failed", What: result.WhatRate, Num: "a@1", Den: "c@1", AtMost: 100}, 0, result.NotMeasured},
		{Goal{Title: "a comparison", What: result.WhatRate, Num: "a@1", Den: "b@1"}, 3, result.NoGoal},
	} {
		g := tc.goal.judge(r, "g")
		if g.Ratio.Median != tc.median || g.Verdict != tc.verdict {
			t.Errorf("%s: got %+v", tc.goal.Title, g)
		}
		if (g.Note == "not installed") != (tc.goal.Den == "c@1") {
			t.Errorf("%s: note %q", tc.goal.Title, g.Note)
		}
		if want := map[string]string{"a@1b@1": "process ÷ none", "b@1a@1": "none ÷ process"}[tc.goal.Num+tc.goal.Den]; g.Classes != want {
			t.Errorf("%s: classes %q, want %q", tc.goal.Title, g.Classes, want)
		}
	}
}

// TestGoalsNameCells: a goal whose cell nobody visits would never be measured, and nobody would know why.
func TestGoalsNameCells(t *testing.T) {
	for _, s := range []suite{
		{group: "redis", cells: redisCells, goals: redisGoals}, {group: "nats", cells: natsCells, goals: natsGoals}, {group: "kafka", cells: kafkaCells, goals: kafkaGoals},
	} {
		names := map[string]bool{"": true}
		for _, c := range s.cells {
			names[c.Name()] = true
		}
		for _, g := range s.goals {
			if !names[g.Num] || !names[g.Den] {
				t.Errorf("%s: %s: no cell %s or %s", s.group, g.Title, g.Num, g.Den)
			}
		}
	}
}
