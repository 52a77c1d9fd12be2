package bench

import (
	"context"
	"fmt"
	"slices"

	"github.com/streamerson/streamerson/bench/peers"
	"github.com/streamerson/streamerson/bench/result"
	"github.com/streamerson/streamerson/bench/role"
)

const (
	// LegNginx is nginx in front of the same net/http server as LegHTTP's.
	LegNginx = "nginx"
	// LegGRPC is gRPC without a broker.
	LegGRPC = "grpc"

	// fair is the number of calls in flight that all rivals bear.
	fair = 64
	// openLimit is how many calls may be outstanding in an open loop: far more than are while a leg keeps up.
	openLimit = 1024
	// openVisits is how many times as long an open loop's visit takes as a closed loop's: at the lowest rate it has some 200 calls.
	openVisits = 3
)

// The arrivals a second of each group's open loop: what its slowest rival can serve on two cores with half of them to spare.
const (
	directRate = 4000
	redisRate  = 300
	natsRate   = 1000
	kafkaRate  = 200
)

// rivalry is one interleaved run of legs of ours and the rivals on one broker.
type rivalry struct {
	name, broker string
	// ours are our legs' names: the first is compared with all rivals, the second, if any, with those of its own class instead.
	ours []string
	rate float64
	// start starts the broker and makes our legs on it, among others.
	start func(ctx context.Context, o Options, self *role.Program) (broker, []*processLeg, error)
}

// rivalries are in the order in which they run.
var rivalries = []rivalry{
	// The legs that are not on Redis need no broker; those of ours that are stand for the hop that is compared.
	{"peers-http", "", []string{LegHTTP, LegRPC, LegProxy, LegGateway}, directRate, onRedis},
	{"peers-redis", peers.Redis, []string{LegRPC}, redisRate, onRedis},
	{"peers-nats", peers.NATS, []string{LegNATSCore, LegNATS}, natsRate, func(ctx context.Context, _ Options, self *role.Program) (broker, []*processLeg, error) {
		b, err := startNATS(ctx, self)
		if err != nil {
			return nil, nil, err
		}
		return b, natsLegs(self, b), nil
	}},
	{"peers-kafka", peers.Kafka, []string{LegKafka}, kafkaRate, func(ctx context.Context, _ Options, self *role.Program) (broker, []*processLeg, error) {
		b, err := startKafka(ctx)
		if err != nil {
			return nil, nil, err
		}
		return b, kafkaLegs(self, b, nil), nil
	}},
}

func onRedis(ctx context.Context, o Options, self *role.Program) (broker, []*processLeg, error) {
	b, err := startRedis(ctx)
	if err != nil {
		return nil, nil, err
	}
	return b, redisLegs(self, b, o.gateways()), nil
}

// direct says that the rivals have no broker: nginx is one of them then, and all bear busy.
func (g rivalry) direct() bool { return g.broker == "" }

// levels are the numbers of calls in flight at which a leg is measured.
func (g rivalry) levels(r peers.Rival) []int {
	switch {
	case g.direct():
		return []int{busy}
	case r.Busy:
		return []int{fair, busy}
	}
	return []int{fair}
}

// rivals are the group's, nginx among them as one without roles.
func (g rivalry) rivals() []peers.Rival {
	out := peers.On(g.broker)
	if g.direct() {
		out = append(out, peers.Rival{Leg: peers.NginxLeg(), Busy: true})
	}
	return out
}

// cells are all legs' at each level, and then all legs' in open loop: what is compared stands close together.
func (g rivalry) cells() []result.Cell {
	var at, paced []result.Cell
	add := func(name string, levels []int) {
		for _, n := range levels {
			at = append(at, result.Cell{Leg: name, InFlight: n})
		}
		paced = append(paced, result.Cell{Leg: name, InFlight: openLimit, Rate: g.rate})
	}
	for _, name := range g.ours {
		add(name, g.levels(peers.Rival{Busy: true}))
	}
	for _, r := range g.rivals() {
		add(r.Leg.Name, g.levels(r))
	}
	slices.SortStableFunc(at, func(a, b result.Cell) int { return a.InFlight - b.InFlight })
	return append(at, paced...)
}

// suite starts the broker and puts the run together.
func (g rivalry) suite(ctx context.Context, t *peers.Tree, o Options, self *role.Program) (*suite, error) {
	b, ours, err := g.start(ctx, o, self)
	if err != nil {
		return nil, err
	}
	s := &suite{group: g.name, brokers: []broker{b}, stop: b.stop, cells: g.cells(), goals: g.goals(), paced: openVisits}
	for _, l := range ours {
		if slices.Contains(g.ours, l.about.Name) {
			s.legs = append(s.legs, l)
		}
	}
	if g.direct() {
		b = nil // the rivals' legs have none
	}
	for _, r := range g.rivals() {
		s.legs = append(s.legs, rivalLeg(t, r, self, b))
	}
	return s, nil
}

// rivalLeg is a rival's leg on a broker, nil for none. One that isn't installed fails when it is started, and says what to do.
func rivalLeg(t *peers.Tree, r peers.Rival, self *role.Program, b broker) *processLeg {
	if r.Program == "" {
		return nginxLeg(self)
	}
	l := &processLeg{about: r.Leg, self: self, broker: b}
	program, err := t.Program(r.Program, self.Stderr)
	if err != nil {
		l.steps = []step{{part: result.PartWorker, server: func(string) (role.Server, error) { return role.Server{}, err }}}
		return l
	}
	l.steps = []step{{part: result.PartWorker, role: r.Worker, program: program}, {part: result.PartClient, role: r.Client, program: program}}
	return l
}

// nginxLeg needs Debian's package nginx, which make bench-peers installs; without it the leg is shown as failed.
func nginxLeg(self *role.Program) *processLeg {
	return &processLeg{about: peers.NginxLeg(), self: self, steps: []step{
		{part: result.PartWorker, role: "http-server"}, {part: result.PartGateway, server: peers.Nginx}, {part: result.PartClient, role: "http-load"},
	}}
}

// goals are to be ahead of each rival on its broker in rate, CPU and p99.
func (g rivalry) goals() []Goal {
	if g.direct() {
		return directGoals()
	}
	var out []Goal
	for _, r := range g.rivals() {
		ours := g.ours[0]
		if len(g.ours) > 1 && r.Leg.Class != result.ClassNone {
			ours = g.ours[1]
		}
		title := ours + " ÷ " + r.Leg.Title
		out = append(out, ahead(title, ours, r.Leg.Name, g.levels(r), g.rate)...)
	}
	return out
}

// ahead are the goals of one leg against another: rate, CPU and p99 at each number of calls in flight, and p99 at a fixed rate.
func ahead(title, ours, theirs string, levels []int, rate float64) []Goal {
	var out []Goal
	for _, n := range levels {
		num, den := at(ours, n), at(theirs, n)
		out = append(out,
			Goal{Title: title, What: result.WhatRate, Num: num, Den: den, AtLeast: 1},
			Goal{Title: title, What: result.WhatCPU, Num: num, Den: den, AtMost: 1},
			Goal{Title: title, What: result.WhatP99, Num: num, Den: den, AtMost: 1},
		)
	}
	return append(out, Goal{Title: fmt.Sprintf("%s, open loop", title), What: result.WhatP99, Num: paced(ours, rate), Den: paced(theirs, rate), AtMost: 1})
}

// at and paced are cells' names.
func at(leg string, inFlight int) string { return (&result.Cell{Leg: leg, InFlight: inFlight}).Name() }

func paced(leg string, rate float64) string { return (&result.Cell{Leg: leg, Rate: rate}).Name() }

// directGoals compare two hops with nginx's, and show rpc, which keeps requests on a broker, beside gRPC, which has none.
func directGoals() []Goal {
	var out []Goal
	for _, g := range ahead("two hops: gateway+Redis+worker ÷ nginx → net/http", LegGateway, LegNginx, []int{busy}, directRate) {
		if g.AtMost = 0; g.AtLeast > 0 {
			g.AtLeast = 1.2
		}
		out = append(out, g)
	}
	for _, g := range ahead("rpc on Redis ÷ gRPC, direct", LegRPC, LegGRPC, []int{busy}, directRate) {
		g.AtLeast, g.AtMost, g.Note = 0, 0, "one hop without a broker, which keeps nothing"
		out = append(out, g)
	}
	return out
}
