package bench

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/streamerson/streamerson/bench/result"
	"github.com/streamerson/streamerson/bench/role"
)

// curveLevels are the calls in flight of a saturation curve; curveSlots lets the workers take the most of them at once.
var curveLevels = []int{1, 4, 16, 64, 256, 1024}

const (
	curveSlots = 1024
	// curveRounds and curveVisit keep 42 cells within two minutes; each is one point of a curve.
	curveRounds = 2
	curveVisit  = 300 * time.Millisecond
	// openRounds and openVisit: a p99.9 needs some thousand calls.
	openRounds = 3
	openVisit  = time.Second
	// openCap is the most calls outstanding in open loop: beyond it a system is overloaded, and arrivals are dropped.
	openCap = 2048
)

// stopAll ends brokers, those that began last first.
func stopAll(all []broker) func() error {
	return func() error {
		var errs []error
		for i := len(all) - 1; i >= 0; i-- {
			errs = append(errs, all[i].stop())
		}
		return errors.Join(errs...)
	}
}

// curveGroup draws rate and latency over the calls in flight, of all ways side by side.
var curveGroup = group{"curve", func(ctx context.Context, o Options, self *role.Program) (*suite, error) {
	// A broker that nobody asked for is not started.
	names := slices.DeleteFunc([]string{LegHTTP, LegProxy, LegRPC, LegGateway, LegNATS, LegNATSCore, LegKafka}, func(name string) bool {
		return !slices.ContainsFunc(curveLevels, func(n int) bool { return o.wants(result.Cell{Leg: name, InFlight: n}) })
	})
	l, err := legsNamed(ctx, o, self, names...)
	if err != nil {
		return nil, err
	}
	s := &suite{group: "curve", brokers: l.brokers, stop: stopAll(l.brokers), legs: l.legs, rounds: curveRounds, visit: curveVisit}
	for _, leg := range s.legs {
		leg.spec.Slots = curveSlots
	}
	for _, n := range curveLevels {
		for _, leg := range s.legs {
			s.cells = append(s.cells, result.Cell{Leg: leg.about.Name, InFlight: n})
		}
	}
	return s, nil
}}

// openGroup measures latencies at rates that all of the legs bear: shares of what the reference bears.
func openGroup(name, reference string, legs ...string) group {
	return group{name, func(ctx context.Context, o Options, self *role.Program) (*suite, error) {
		l, err := legsNamed(ctx, o, self, legs...)
		if err != nil {
			return nil, err
		}
		s := &suite{
			group: name, brokers: l.brokers, stop: stopAll(l.brokers), legs: l.legs, rounds: openRounds, visit: openVisit,
			reference: result.Cell{Leg: reference, InFlight: busy},
		}
		for _, leg := range s.legs {
			leg.spec.Slots = openCap
		}
		for _, load := range []string{"20%", "50%", "80%"} {
			for _, leg := range legs {
				s.cells = append(s.cells, result.Cell{Leg: leg, InFlight: openCap, Load: load})
				if leg == reference {
					continue
				}
				for _, what := range []string{result.WhatP50, result.WhatP99} {
					s.goals = append(s.goals, Goal{
						Title: leg + " ÷ " + reference + ", open loop at " + load + " of what " + reference + " bears", What: what, Num: leg + "~" + load, Den: reference + "~" + load,
					})
				}
			}
		}
		return s, nil
	}}
}
