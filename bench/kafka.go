package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	psprocess "github.com/shirou/gopsutil/v4/process"
	"github.com/spf13/cobra"

	"github.com/streamerson/streamerson/internal/brokers"
)

// The legs of the Kafka run, beside LegRPC on a Redis.
const (
	LegKafka       = "kafka-rpc"
	LegKafkaWriter = "kafka-writer" // kafka-go's Writer and Reader
)

var kafkaCells = []Cell{{LegKafka, busy}, {LegRPC, busy}, {LegKafka, 1}, {LegKafkaWriter, 1}}

// kafkaWarmup is how many calls a cell makes, for each in flight, before it is measured: a JVM that has just begun is three times
// slower than after some 250,000 calls.
const kafkaWarmup = 1000

// kafkaGoals are issue 4's, each at 128 bytes.
var kafkaGoals = []Goal{
	{"rpc on Kafka ÷ rpc on Redis", Cell{LegKafka, busy}, Cell{LegRPC, busy}, WhatRate, 0.8, 0},
	{"rpc on Kafka ÷ rpc on Redis", Cell{LegKafka, busy}, Cell{LegRPC, busy}, WhatCPU, 0, 0},
	{"one call in flight: rpc on Kafka ÷ kafka-go's Writer at 1 ms", Cell{LegKafka, 1}, Cell{LegKafkaWriter, 1}, WhatP50, 0, 0.35},
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
		Name: "kafka", Version: brokers.KafkaNewest,
		Durability: "acks=all in every leg, one copy, not synced (survives kill -9 of the broker); Redis: appendonly everysec (the same)",
	}, nil
}

// use knows the CPU time alone.
func (b *kafkaBroker) use(ctx context.Context) (BrokerUse, error) {
	p, err := psprocess.NewProcessWithContext(ctx, int32(b.srv.Pid)) //nolint:gosec // a pid fits
	if err != nil {
		return BrokerUse{}, err
	}
	t, err := p.TimesWithContext(ctx)
	if err != nil {
		return BrokerUse{}, err
	}
	return BrokerUse{CPU: time.Duration((t.User + t.System) * float64(time.Second))}, nil
}

func (b *kafkaBroker) clients(context.Context) (map[string]bool, error) { return nil, nil }

// kafkaLegs makes the legs, without starting them.
func kafkaLegs(s *self, kafka, redis broker) []*processLeg {
	return []*processLeg{
		{name: LegKafka, self: s, broker: kafka, steps: []step{{PartWorker, "rpc-worker"}, {PartClient, "rpc-client"}}},
		{name: LegRPC, self: s, broker: redis, steps: []step{{PartWorker, "rpc-worker"}, {PartClient, "rpc-client"}}},
		{name: LegKafkaWriter, self: s, broker: kafka, steps: []step{{PartWorker, "kafka-worker"}, {PartClient, "kafka-client"}}},
	}
}

// RunKafka measures rpc on a Kafka of its own beside rpc on a Redis and kafka-go's Writer, and prints the tables to out. It
// blocks until done. The error says why the run could not be made.
func RunKafka(ctx context.Context, o Options, out io.Writer) (*Report, error) {
	self, err := o.program()
	if err != nil {
		return nil, err
	}
	kafka, err := startKafka(ctx)
	if err != nil {
		return nil, err
	}
	redis, err := startRedis(ctx)
	if err != nil {
		return nil, errors.Join(err, kafka.stop())
	}
	s := suite{broker: kafka, legs: kafkaLegs(self, kafka, redis), cells: kafkaCells, goals: kafkaGoals, warmup: kafkaWarmup}
	r, err := s.measure(ctx, o)
	if err = errors.Join(err, redis.stop(), kafka.stop()); err != nil {
		return nil, err
	}
	return r, r.deliver(o, out)
}

func kafkaCommand(w Wiring) *cobra.Command {
	o := DefaultOptions()
	o.Wiring = w
	cmd := &cobra.Command{
		Use:   "kafka",
		Short: "rpc on Kafka, beside rpc on Redis and kafka-go's Writer and Reader",
		Long: `Starts a Kafka and a redis-server, and the clients and workers as processes of their own; lets the JVM become as fast as it
stays, which takes half a minute; visits all legs in turn, forwards and backwards, for several rounds; and prints the ratios
that are goals, with what each leg cost. Exits with 1 when a call failed. A goal that isn't met is shown, not an error.`,
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Progress = cmd.ErrOrStderr()
			r, err := RunKafka(cmd.Context(), o, cmd.OutOrStdout())
			if err == nil && r.Failed() > 0 {
				err = fmt.Errorf("bench: %d calls failed", r.Failed())
			}
			return err
		},
	}
	addRunFlags(cmd.Flags(), &o, LegKafka, LegRPC, LegKafkaWriter)
	return cmd
}
