package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamerson/streamerson/bench/result"
	"github.com/streamerson/streamerson/bench/role"
	"github.com/streamerson/streamerson/bench/workload"
)

// allGroups are what `bench all` runs, within ten minutes on two cores.
func allGroups() []group {
	return []group{
		redisGroup, streamsGroup, natsGroup, kafkaGroup, curveGroup,
		openGroup("open", LegHTTP, LegHTTP, LegRPC, LegNATSCore),
		openGroup("open-two-hops", LegProxy, LegProxy, LegGateway),
		parableGroup,
	}
}

// parableVisit is long enough for some two hundred calls of half a tenth of a second each.
const parableVisit = 8 * time.Second

// parableGroup is what streams are for: short calls must not wait behind long ones.
var parableGroup = group{"parable", func(ctx context.Context, o Options, self *role.Program) (*suite, error) {
	w, err := workload.Preset("parable")
	if err != nil {
		return nil, err
	}
	s, err := workloadSuite(ctx, o, self, w, []string{LegProxy, LegGateway})
	if err != nil {
		return nil, err
	}
	s.group, s.rounds, s.visit = "parable", 1, parableVisit
	num, den := s.cells[len(s.cells)-1].Name(), s.cells[0].Name()
	s.goals = []Goal{
		{Title: "half of all calls are pictures: gateway+Redis+worker ÷ proxy", What: result.WhatP99Of + "read", Num: num, Den: den},
		{Title: "half of all calls are pictures: gateway+Redis+worker ÷ proxy", What: result.WhatP99Of + "picture", Num: num, Den: den},
	}
	return s, nil
}}

// workloadSuite runs one workload over the named legs.
func workloadSuite(ctx context.Context, o Options, self *role.Program, w *workload.Workload, legs []string) (*suite, error) {
	l, err := legsNamed(ctx, o, self, legs...)
	if err != nil {
		return nil, err
	}
	s := &suite{group: w.Name, brokers: l.brokers, stop: stopAll(l.brokers), legs: l.legs, workload: w, visit: w.Duration.D()}
	for _, leg := range l.legs {
		pack := leg.spec.Pack
		leg.spec = w.Spec()
		leg.spec.Pack = pack
		if leg.spec.Slots == 0 {
			leg.spec.Slots = max(slots, w.InFlight)
		}
		c := result.Cell{Leg: leg.about.Name, Workload: w.Name, InFlight: w.InFlight, Streams: w.Streams, Routes: w.Routes}
		if w.Arrival != nil {
			c.Rate, c.Arrival = w.Arrival.Rate, w.Arrival.Process
		}
		s.cells = append(s.cells, c)
	}
	return s, nil
}

func allCommand(w Wiring) *cobra.Command {
	o := DefaultOptions()
	o.Wiring, o.Rounds, o.Visit, o.Calls = w, 5, 400*time.Millisecond, 500_000
	cmd := &cobra.Command{
		Use:   "all",
		Short: "Everything, in less than ten minutes on two cores: the goals, saturation curves, latencies in open loop",
		Long: `Runs the comparisons of redis, nats and kafka; saturation curves from 1 to 1,024 calls in flight; latencies in open loop at
20, 50 and 80 % of what HTTP bears; and a mixture of long and short calls. Prints all tables, the goals last, and writes the
results as JSON and the report as HTML. Exits with 1 when a call failed. A goal that isn't met is shown, not an error.`,
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return runGroups(cmd, o, allGroups()) },
	}
	addRunFlags(cmd.Flags(), &o)
	cmd.Flags().IntVar(&o.Calls, "calls", o.Calls, "calls of the long leg, whose memory is watched; 0 leaves it out")
	return cmd
}

func runCommand(w Wiring) *cobra.Command {
	o := DefaultOptions()
	o.Wiring, o.Rounds, o.Calls = w, 3, 0
	var show bool
	cmd := &cobra.Command{
		Use:   "run FILE|PRESET",
		Short: "Run a workload of your own, or one of the presets (bench --list)",
		Long: `Reads a workload from a YAML file, or takes a preset, and runs it over the legs that it names or --legs does. A visit takes
the workload's duration unless --visit is given. --show prints a preset's file, to begin your own with.`,
		Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if show {
				text, err := workload.Source(args[0])
				if err != nil {
					return fmt.Errorf("bench: no preset %q; see bench --list", args[0])
				}
				_, err = cmd.OutOrStdout().Write(text)
				return err
			}
			wl, err := workload.Find(args[0])
			if err != nil {
				return err
			}
			legs := wl.Legs
			if len(o.Legs) > 0 {
				legs = o.Legs
			}
			if len(legs) == 0 {
				legs = []string{LegHTTP, LegRPC}
			}
			g := group{wl.Name, func(ctx context.Context, o Options, self *role.Program) (*suite, error) {
				s, err := workloadSuite(ctx, o, self, wl, legs)
				if err == nil && cmd.Flags().Changed("visit") {
					s.visit = o.Visit
				}
				return s, err
			}}
			return runGroups(cmd, o, []group{g})
		},
	}
	addRunFlags(cmd.Flags(), &o, sortedLegs()...)
	cmd.Flags().BoolVar(&show, "show", false, "print the preset's file instead")
	return cmd
}
