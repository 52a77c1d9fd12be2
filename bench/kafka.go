package bench

import (
	"context"
	"errors"

	"github.com/streamerson/streamerson/bench/result"
	"github.com/streamerson/streamerson/bench/role"
	"github.com/streamerson/streamerson/internal/brokers"
)

// The legs of the Kafka run, beside LegRPC on a Redis.
const (
	LegKafka       = "kafka-rpc"
	LegKafkaWriter = "kafka-writer" // kafka-go's Writer and Reader
)

var kafkaCells = []result.Cell{{Leg: LegKafka, InFlight: busy}, {Leg: LegRPC, InFlight: busy}, {Leg: LegKafka, InFlight: 1}, {Leg: LegKafkaWriter, InFlight: 1}}

// kafkaWarmup is how many calls a cell makes, for each in flight, before it is measured: a JVM that has just begun is three times
// slower than after some 250,000 calls.
const kafkaWarmup = 1000

// kafkaGoals are issue 5's, each at 128 bytes.
var kafkaGoals = []Goal{
	{Title: "rpc on Kafka ÷ rpc on Redis", What: result.WhatRate, Num: "kafka-rpc@256", Den: "redis-rpc@256", AtLeast: 0.9},
	{Title: "rpc on Kafka ÷ rpc on Redis", What: result.WhatCPU, Num: "kafka-rpc@256", Den: "redis-rpc@256"},
	{Title: "one call in flight: rpc on Kafka ÷ kafka-go's Writer at 1 ms", What: result.WhatP50, Num: "kafka-rpc@1", Den: "kafka-writer@1", AtMost: 0.25},
}

// kafkaBroker is a Kafka of this run alone.
type kafkaBroker struct {
	srv *brokers.Kafka
}

func startKafka(ctx context.Context) (*kafkaBroker, error) {
	srv, err := brokers.StartKafka(ctx, brokers.KafkaConfig{Own: true, Optimized: true})
	if err != nil {
		return nil, err
	}
	return &kafkaBroker{srv: srv}, nil
}

func (b *kafkaBroker) address() string { return b.srv.URL }

func (b *kafkaBroker) hostport() string { return b.srv.Addr }

func (b *kafkaBroker) stop() error { b.srv.Stop(); return nil }

func (b *kafkaBroker) info(context.Context) (BrokerInfo, error) {
	return BrokerInfo{
		Name: "kafka", Version: brokers.KafkaNewest, Class: result.ClassProcess,
		Durability: "acks=all, one copy, not synced (survives kill -9 of the broker)",
	}, nil
}

// use knows the CPU time alone.
func (b *kafkaBroker) use(ctx context.Context) (BrokerUse, error) {
	cpu, err := role.TreeCPU(ctx, b.srv.Pid)
	return BrokerUse{CPU: cpu}, err
}

func (b *kafkaBroker) clients(context.Context) (map[string]bool, error) { return nil, nil }

// kafkaLegs makes the legs, without starting them.
func kafkaLegs(s *role.Program, kafka, redis broker) []*processLeg {
	rpc := []step{{part: result.PartWorker, role: "rpc-worker"}, {part: result.PartClient, role: "rpc-client"}}
	return []*processLeg{
		{about: result.Leg{Name: LegKafka, Title: "rpc on Kafka"}, self: s, broker: kafka, steps: rpc},
		{about: result.Leg{Name: LegRPC, Title: "rpc on Redis"}, self: s, broker: redis, steps: rpc},
		{about: result.Leg{Name: LegKafkaWriter, Title: "kafka-go's Writer and Reader", Control: true, Tuned: "BatchTimeout 1 ms instead of 1 s, RequiredAcks all"}, self: s, broker: kafka,
			steps: []step{{part: result.PartWorker, role: "kafka-worker"}, {part: result.PartClient, role: "kafka-client"}}},
	}
}

// kafkaGroup measures rpc on a Kafka of its own beside rpc on a Redis and kafka-go's Writer.
var kafkaGroup = group{"kafka", func(ctx context.Context, _ Options, self *role.Program) (*suite, error) {
	kafka, err := startKafka(ctx)
	if err != nil {
		return nil, err
	}
	redis, err := startRedis(ctx)
	if err != nil {
		return nil, errors.Join(err, kafka.stop())
	}
	return &suite{
		group: "kafka", brokers: []broker{kafka, redis}, stop: func() error { return errors.Join(redis.stop(), kafka.stop()) },
		legs: kafkaLegs(self, kafka, redis), cells: kafkaCells, goals: kafkaGoals, warmup: kafkaWarmup,
	}, nil
}}
