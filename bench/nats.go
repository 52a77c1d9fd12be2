package bench

import (
	"context"
	"strings"

	"github.com/streamerson/streamerson/bench/result"
	"github.com/streamerson/streamerson/bench/role"
	"github.com/streamerson/streamerson/internal/brokers"
)

// The legs of the NATS run.
const (
	LegNATS        = "nats-rpc"          // JetStream
	LegNATSNoDedup = "nats-rpc-no-dedup" // JetStream without message ids: what is unknown isn't sent again
	LegNATSPacked  = "nats-rpc-packed"   // JetStream, requests that may share messages
	LegNATSCore    = "nats-core-rpc"     // core NATS, at most once
	LegNATSRequest = "nats-request"      // nats.go's own nc.Request and a queue subscription
)

var natsCells = []result.Cell{
	{Leg: LegNATS, InFlight: busy}, {Leg: LegNATSPacked, InFlight: busy}, {Leg: LegNATSCore, InFlight: busy}, {Leg: LegNATSRequest, InFlight: busy}, {Leg: LegNATSNoDedup, InFlight: busy},
	{Leg: LegNATS, InFlight: 1}, {Leg: LegNATSCore, InFlight: 1}, {Leg: LegNATSRequest, InFlight: 1}, {Leg: LegHTTP, InFlight: 1},
}

// natsGoals are issue 5's, each at 128 bytes.
var natsGoals = []Goal{
	{Title: "rpc on core NATS ÷ nc.Request", What: result.WhatRate, Num: "nats-core-rpc@256", Den: "nats-request@256", AtLeast: 1.3},
	{Title: "rpc on core NATS ÷ nc.Request", What: result.WhatCPU, Num: "nats-core-rpc@256", Den: "nats-request@256"},
	{Title: "rpc on JetStream ÷ rpc on core NATS", What: result.WhatRate, Num: "nats-rpc@256", Den: "nats-core-rpc@256", AtLeast: 0.6},
	{Title: "rpc on JetStream ÷ rpc on core NATS", What: result.WhatCPU, Num: "nats-rpc@256", Den: "nats-core-rpc@256"},
	{Title: "packed requests: rpc on JetStream ÷ rpc on core NATS", What: result.WhatRate, Num: "nats-rpc-packed@256", Den: "nats-core-rpc@256", AtLeast: 0.6, Note: notePack},
	{Title: "packed requests: rpc on JetStream ÷ rpc on core NATS", What: result.WhatCPU, Num: "nats-rpc-packed@256", Den: "nats-core-rpc@256"},
	{Title: "rpc on JetStream without dedup ÷ rpc on core NATS", What: result.WhatRate, Num: "nats-rpc-no-dedup@256", Den: "nats-core-rpc@256"},
	{Title: "one call in flight: rpc on core NATS ÷ net/http", What: result.WhatP50, Num: "nats-core-rpc@1", Den: "http@1", AtMost: 1.7},
	{Title: "one call in flight: rpc on JetStream ÷ net/http", What: result.WhatP50, Num: "nats-rpc@1", Den: "http@1"},
	{Title: "one call in flight: rpc on core NATS ÷ nc.Request", What: result.WhatP50, Num: "nats-core-rpc@1", Den: "nats-request@1"},
	{Title: "broker connections, most of a process", What: result.WhatConns, Num: "nats-rpc@256", AtMost: 3},
}

// natsBroker is a nats-server in a process of its own: this program in another role.
type natsBroker struct {
	p *role.Process
}

func startNATS(ctx context.Context, s *role.Program) (*natsBroker, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	p, err := s.Start(ctx, "nats-server", role.Spec{Role: "nats-server"})
	if err != nil {
		return nil, err
	}
	return &natsBroker{p: p}, nil
}

func (b *natsBroker) address() string { return b.p.Addr() }

func (b *natsBroker) hostport() string { return strings.TrimPrefix(b.p.Addr(), "nats://") }

func (b *natsBroker) stop() error { return b.p.Stop() }

func (b *natsBroker) info(context.Context) (BrokerInfo, error) {
	return BrokerInfo{
		Name: "nats-server", Version: brokers.NATSVersion, Class: result.ClassProcess,
		Durability: "JetStream in files, one replica, synced every 2 minutes (survives kill -9 of the broker); core NATS stores nothing",
	}, nil
}

// use knows the CPU time alone.
func (b *natsBroker) use(ctx context.Context) (BrokerUse, error) {
	u, err := b.p.Usage(ctx)
	return BrokerUse{CPU: u.CPU}, err
}

func (b *natsBroker) clients(context.Context) (map[string]bool, error) { return nil, nil }

// natsLegs makes the legs, without starting them.
func natsLegs(s *role.Program, b broker) []*processLeg {
	rpc := []step{{part: result.PartWorker, role: "rpc-worker"}, {part: result.PartClient, role: "rpc-client"}}
	none := func(name, title string) result.Leg {
		return result.Leg{Name: name, Title: title, Class: result.ClassNone, Durability: "stored nowhere: at most once"}
	}
	request := none(LegNATSRequest, "nc.Request and a queue subscription")
	request.Control = true
	return []*processLeg{
		{about: result.Leg{Name: LegNATS, Title: "rpc on JetStream"}, self: s, broker: b, steps: rpc},
		{about: result.Leg{Name: LegNATSPacked, Title: "rpc on JetStream, packed requests", Tuned: tunedPack}, self: s, broker: b, steps: rpc, spec: role.Spec{Pack: true}},
		{about: none(LegNATSCore, "rpc on core NATS"), self: s, broker: b, mode: "nats+core", steps: rpc},
		{about: result.Leg{Name: LegNATSNoDedup, Title: "rpc on JetStream without message ids"}, self: s, broker: b, params: "?dedup=false", steps: rpc},
		{about: request, self: s, broker: b, steps: []step{{part: result.PartWorker, role: "nats-worker"}, {part: result.PartClient, role: "nats-client"}}},
		httpLeg(s),
	}
}

// natsGroup measures rpc on JetStream and on core NATS beside nc.Request, on a nats-server of its own.
var natsGroup = group{"nats", func(ctx context.Context, _ Options, self *role.Program) (*suite, error) {
	b, err := startNATS(ctx, self)
	if err != nil {
		return nil, err
	}
	return &suite{group: "nats", brokers: []broker{b}, stop: b.stop, legs: natsLegs(self, b), cells: natsCells, goals: natsGoals}, nil
}}
