package bench

import (
	"context"
	"fmt"

	"github.com/streamerson/streamerson/bench/load"
	"github.com/streamerson/streamerson/bench/result"
	"github.com/streamerson/streamerson/bench/role"
)

// The legs of the Redis run.
const (
	LegHTTP    = "http"
	LegHand    = "redis-hand"
	LegNaive   = "redis-naive"
	LegRPC     = "redis-rpc"
	LegProxy   = "http-proxy"
	LegPooled  = "http-proxy-pooled"
	LegGateway = "redis-gateway"
	// The same with requests that may share messages, as rpc.Request.Pack allows.
	LegPacked        = "redis-rpc-packed"
	LegGatewayPacked = "redis-gateway-packed"
	LegCore          = "mem-rpc" // no broker: what rpc itself costs
	LegStreams       = "redis-rpc-1000-streams"
	LegRoutes        = "redis-gateway-10k-routes"
	manyStreams      = 1000
	manyRoutes       = 10_000
)

// redisLegs makes the legs, without starting them; those of gateways only if the program has one wired in.
func redisLegs(s *role.Program, b broker, gateways bool) []*processLeg {
	rpc := []step{{part: result.PartWorker, role: "rpc-worker"}, {part: result.PartClient, role: "rpc-client"}}
	proxied := func(proxy string) []step {
		return []step{{part: result.PartWorker, role: "http-server"}, {part: result.PartGateway, role: proxy}, {part: result.PartClient, role: "http-load"}}
	}
	legs := []*processLeg{
		httpLeg(s),
		{about: result.Leg{Name: LegHand, Title: "hand-pipelined go-redis", Control: true}, self: s, broker: b,
			steps: []step{{part: result.PartWorker, role: "hand-worker"}, {part: result.PartClient, role: "hand-client"}}},
		{about: result.Leg{Name: LegNaive, Title: "naive go-redis", Control: true}, self: s, broker: b,
			steps: []step{{part: result.PartWorker, role: "naive-worker"}, {part: result.PartClient, role: "naive-client"}}},
		{about: result.Leg{Name: LegRPC, Title: "rpc on Redis"}, self: s, broker: b, steps: rpc},
		{about: result.Leg{Name: LegPacked, Title: "rpc on Redis, packed requests", Tuned: tunedPack}, self: s, broker: b, steps: rpc, spec: role.Spec{Pack: true}},
		{about: result.Leg{Name: LegStreams, Title: "rpc on Redis, 1,000 streams"}, self: s, broker: b, steps: rpc, spec: role.Spec{Streams: manyStreams}},
		{about: result.Leg{Name: LegProxy, Title: "net/http reverse proxy → net/http", Control: true, Tuned: "a kept connection for each call in flight"}, self: s, steps: proxied("http-proxy")},
		{about: result.Leg{Name: LegPooled, Title: "the same with pooled buffers", Control: true, Tuned: "kept connections, pooled copy buffers"}, self: s, steps: proxied("http-proxy-pooled")},
	}
	legs = append(legs, &processLeg{
		about: result.Leg{Name: LegCore, Title: "rpc in one process, without a broker", Class: result.ClassMemory, Durability: "ends with the process"}, self: s,
		steps: []step{{part: result.PartClient, role: "core"}},
	})
	legs = append(legs, nginxLeg(s))
	if !gateways {
		return legs
	}
	two := []step{{part: result.PartWorker, role: "web-worker"}, {part: result.PartGateway, role: "gateway"}, {part: result.PartClient, role: "http-load"}}
	return append(legs,
		&processLeg{about: result.Leg{Name: LegGateway, Title: "gateway + Redis + worker", Tuned: "the program's defaults, its ballast among them: 32 MiB of garbage before the collector runs"}, self: s, broker: b, steps: two},
		&processLeg{about: result.Leg{Name: LegGatewayPacked, Title: "gateway + Redis + worker, packed requests", Tuned: "the program's defaults, but pack: true on the route"}, self: s, broker: b, steps: two, spec: role.Spec{Pack: true}},
		&processLeg{about: result.Leg{Name: LegRoutes, Title: "the same with 10,000 idle routes"}, self: s, broker: b, steps: two, spec: role.Spec{Routes: manyRoutes}},
	)
}

// notePack is told beside goals that are judged in that mode as well.
const notePack = "a declared mode, off by default: the goal of the row without it, judged once more"

// tunedPack says what legs of packed requests have that the defaults have not.
const tunedPack = "requests that are published at the same moment share messages (Request.Pack): off by default, for short handlers"

// httpLeg is one hop of net/http, which needs no broker.
func httpLeg(s *role.Program) *processLeg {
	return &processLeg{
		about: result.Leg{Name: LegHTTP, Title: "net/http, one hop", Control: true, Tuned: "a kept connection for each call in flight"}, self: s,
		steps: []step{{part: result.PartWorker, role: "http-server"}, {part: result.PartClient, role: "http-client"}},
	}
}

// redisCells are visited in this order: what is compared stands close together.
var redisCells = []result.Cell{
	{Leg: LegHTTP, InFlight: busy}, {Leg: LegRPC, InFlight: busy}, {Leg: LegPacked, InFlight: busy}, {Leg: LegHand, InFlight: busy}, {Leg: LegNaive, InFlight: busy},
	{Leg: LegCore, InFlight: busy},
	{Leg: LegProxy, InFlight: busy}, {Leg: LegGateway, InFlight: busy}, {Leg: LegRoutes, InFlight: busy, Routes: manyRoutes}, {Leg: LegPooled, InFlight: busy}, {Leg: LegGatewayPacked, InFlight: busy}, {Leg: LegNginx, InFlight: busy},
	{Leg: LegHTTP, InFlight: busy, Workload: "echo-4k"}, {Leg: LegRPC, InFlight: busy, Workload: "echo-4k"}, {Leg: LegPacked, InFlight: busy, Workload: "echo-4k"}, {Leg: LegHand, InFlight: busy, Workload: "echo-4k"},
	{Leg: LegHTTP, InFlight: 1}, {Leg: LegRPC, InFlight: 1},
}

// redisGoals are issue 5's, at 128 bytes unless said.
var redisGoals = []Goal{
	{Title: "rpc ÷ hand-pipelined go-redis", What: result.WhatRate, Num: "redis-rpc@256", Den: "redis-hand@256", AtLeast: 1.2},
	{Title: "rpc ÷ hand-pipelined go-redis", What: result.WhatCPU, Num: "redis-rpc@256", Den: "redis-hand@256"},
	{Title: "rpc ÷ naive go-redis", What: result.WhatRate, Num: "redis-rpc@256", Den: "redis-naive@256", AtLeast: 10},
	{Title: "rpc ÷ direct net/http", What: result.WhatRate, Num: "redis-rpc@256", Den: "http@256", AtLeast: 3},
	{Title: "rpc ÷ direct net/http", What: result.WhatCPU, Num: "redis-rpc@256", Den: "http@256", AtMost: 0.3},
	{Title: "rpc ÷ direct net/http, 4 KiB", What: result.WhatRate, Num: "echo-4k:redis-rpc@256", Den: "echo-4k:http@256", AtLeast: 1.5},
	{Title: "packed requests: rpc ÷ direct net/http", What: result.WhatRate, Num: "redis-rpc-packed@256", Den: "http@256", AtLeast: 3, Note: notePack},
	{Title: "packed requests: rpc ÷ direct net/http", What: result.WhatCPU, Num: "redis-rpc-packed@256", Den: "http@256", AtMost: 0.3, Note: notePack},
	{Title: "packed requests: rpc ÷ direct net/http, 4 KiB", What: result.WhatRate, Num: "echo-4k:redis-rpc-packed@256", Den: "echo-4k:http@256", AtLeast: 1.5, Note: notePack},
	{Title: "packed requests ÷ a message each", What: result.WhatRate, Num: "redis-rpc-packed@256", Den: "redis-rpc@256"},
	{Title: "packed requests ÷ a message each", What: result.WhatCPU, Num: "redis-rpc-packed@256", Den: "redis-rpc@256"},
	{Title: "rpc ÷ hand-pipelined go-redis, 4 KiB", What: result.WhatRate, Num: "echo-4k:redis-rpc@256", Den: "echo-4k:redis-hand@256"},
	{Title: "one call in flight: rpc ÷ net/http", What: result.WhatP50, Num: "redis-rpc@1", Den: "http@1", AtMost: 2},
	{Title: "two hops: gateway+Redis+worker ÷ net/http proxy", What: result.WhatRate, Num: "redis-gateway@256", Den: "http-proxy@256", AtLeast: 2.5},
	{Title: "two hops: gateway+Redis+worker ÷ net/http proxy", What: result.WhatCPU, Num: "redis-gateway@256", Den: "http-proxy@256", AtMost: 0.4},
	{Title: "the same ÷ proxy with pooled buffers", What: result.WhatRate, Num: "redis-gateway@256", Den: "http-proxy-pooled@256"},
	{Title: "the same ÷ proxy with pooled buffers", What: result.WhatCPU, Num: "redis-gateway@256", Den: "http-proxy-pooled@256"},
	{Title: "two hops: gateway+Redis+worker ÷ nginx → net/http", What: result.WhatRate, Num: "redis-gateway@256", Den: "nginx@256", AtLeast: 1.2},
	{Title: "two hops: gateway+Redis+worker ÷ nginx → net/http", What: result.WhatCPU, Num: "redis-gateway@256", Den: "nginx@256"},
	{Title: "packed requests: gateway+Redis+worker ÷ nginx → net/http", What: result.WhatRate, Num: "redis-gateway-packed@256", Den: "nginx@256", AtLeast: 1.2, Note: notePack},
	{Title: "packed requests: gateway+Redis+worker ÷ nginx → net/http", What: result.WhatCPU, Num: "redis-gateway-packed@256", Den: "nginx@256"},
	{Title: "two hops ÷ one direct HTTP hop", What: result.WhatRate, Num: "redis-gateway@256", Den: "http@256", AtLeast: 0.6,
		Note: "one hop is cheaper than two; the gateway is loaded by a lean client, the direct hop by net/http's"},
	{Title: "10,000 idle routes ÷ none", What: result.WhatCPU, Num: "redis-gateway-10k-routes@256", Den: "redis-gateway@256", AtMost: 1.1},
	{Title: "allocations a call, with the caller's, the handler's and the transport's own", What: result.WhatAllocs, Num: "mem-rpc@256",
		Note: "the core's own share has a goal of 3, which a test of rpc (TestCallAllocations) holds exactly: 2.1"},
	{Title: "the same with the Redis driver, two processes", What: result.WhatAllocs, Num: "redis-rpc@256"},
	{Title: "broker connections, most of a process", What: result.WhatConns, Num: "redis-rpc@256", AtMost: 3},
	{Title: "the same in a gateway", What: result.WhatConns, Num: "redis-gateway@256", AtMost: 3},
}

// redisGroup measures rpc on a Redis of its own beside bare go-redis and net/http.
var redisGroup = group{"redis", func(ctx context.Context, o Options, self *role.Program) (*suite, error) {
	b, err := startRedis(ctx)
	if err != nil {
		return nil, err
	}
	return &suite{
		group: "redis", brokers: []broker{b}, stop: b.stop, legs: redisLegs(self, b, o.gateways()), cells: redisCells, goals: redisGoals,
		last: func(ctx context.Context, legs map[string]Leg, r *result.Run) error {
			return soakRPC(ctx, o, b, legs, r)
		},
	}, nil
}}

// streamsGroup measures many streams beside one, on a Redis of its own: for some seconds after a visit the client still counts
// the workers of its thousand streams, which the other legs would pay for.
var streamsGroup = group{"streams", func(ctx context.Context, o Options, self *role.Program) (*suite, error) {
	b, legs, err := onRedis(ctx, o, self)
	if err != nil {
		return nil, err
	}
	return &suite{
		group: "streams", brokers: []broker{b}, stop: b.stop, legs: legs,
		cells: []result.Cell{{Leg: LegRPC, InFlight: busy}, {Leg: LegStreams, InFlight: busy, Streams: manyStreams}},
		goals: []Goal{{Title: "1,000 streams, all of them called ÷ 1 stream", What: result.WhatCPU, Num: "redis-rpc-1000-streams@256", Den: "redis-rpc@256", AtMost: 1.1}},
	}, nil
}}

// soakRPC is the long leg, unless it is left out.
func soakRPC(ctx context.Context, o Options, b *redisBroker, legs map[string]Leg, r *result.Run) error {
	leg, ok := legs[LegRPC].(*processLeg)
	if !ok || o.Calls == 0 {
		return nil
	}
	_, _ = fmt.Fprintf(o.Progress, "%d calls once, %d in flight\n", o.Calls, busy)
	s, err := soak(ctx, leg, b, load.Load{Calls: o.Calls, InFlight: busy, Size: o.Size})
	if err != nil {
		return err
	}
	r.Soaks = append(r.Soaks, s)
	if len(s.Memory) > 1 {
		r.Goals = append(r.Goals, flat(s))
	}
	return nil
}
