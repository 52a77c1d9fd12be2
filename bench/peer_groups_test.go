package bench

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/streamerson/streamerson/bench/peers"
	"github.com/streamerson/streamerson/bench/result"
)

// TestRivalsGoalsNameCells: a goal whose cell is misnamed would be "not measured" for ever.
func TestRivalsGoalsNameCells(t *testing.T) {
	compared := map[string]bool{}
	for _, g := range rivalries {
		names := map[string]bool{}
		for _, c := range g.cells() {
			if names[c.Name()] {
				t.Errorf("%s: two cells are %s", g.name, c.Name())
			}
			names[c.Name()] = true
		}
		for _, goal := range g.goals() {
			if !names[goal.Num] || !names[goal.Den] {
				t.Errorf("%s: %s of %s compares %s and %s, of which one is no cell", g.name, goal.Title, goal.What, goal.Num, goal.Den)
			}
			leg, _, _ := strings.Cut(goal.Den, "@")
			compared[leg+" "+goal.What] = true
		}
	}
	for _, r := range peers.Rivals {
		for _, what := range []string{result.WhatRate, result.WhatCPU, result.WhatP99} {
			if !compared[r.Leg.Name+" "+what] {
				t.Errorf("%s is not compared in %s", r.Leg.Name, what)
			}
		}
	}
}

// TestRivalsMeetTheirOwnClass: what keeps nothing is compared with ours that keeps nothing, where we have it.
func TestRivalsMeetTheirOwnClass(t *testing.T) {
	for _, g := range rivalries {
		if g.broker != peers.NATS {
			continue
		}
		for _, goal := range g.goals() {
			i := slices.IndexFunc(peers.Rivals, func(r peers.Rival) bool { return strings.HasPrefix(goal.Den, r.Leg.Name) && r.Leg.Broker == peers.NATS })
			if i < 0 {
				t.Fatalf("%s is no rival", goal.Den)
			}
			want := LegNATS
			if peers.Rivals[i].Leg.Class == result.ClassNone {
				want = LegNATSCore
			}
			if !strings.HasPrefix(goal.Num, want+"@") && !strings.HasPrefix(goal.Num, want+"~") {
				t.Errorf("%s is compared with %s", goal.Den, goal.Num)
			}
		}
	}
}

func TestLegsPickRivalsGroups(t *testing.T) {
	tree, err := peers.Open(filepath.Join(".."))
	if err != nil {
		t.Fatal(err)
	}
	for legs, want := range map[string]string{"nest-kafka": "peers-kafka", "moleculer-nats@256": "peers-nats", "": "peers-http peers-redis peers-nats peers-kafka"} {
		o := DefaultOptions()
		if legs != "" {
			o.Legs = []string{legs}
		}
		groups, err := peerGroups(t.Context(), tree, o)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, g := range groups {
			got = append(got, g.name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q picks %v, want %s", legs, got, want)
		}
	}
	o := DefaultOptions()
	o.Legs = []string{"nonsense"}
	if _, err := peerGroups(t.Context(), tree, o); err == nil || !strings.Contains(err.Error(), "--legs") {
		t.Errorf("an unknown leg: %v", err)
	}
}

// TestARivalThatIsNotThereSaysSo: it is a failed leg, which the run goes on without.
func TestARivalThatIsNotThereSaysSo(t *testing.T) {
	l := rivalLeg(&peers.Tree{}, peers.Rivals[0], testSelf(t), nil)
	if err := l.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "scripts/install-peers.sh") {
		t.Errorf("got %v", err)
	}
}
