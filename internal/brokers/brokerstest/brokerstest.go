// Package brokerstest gives tests their brokers, from where the environment variable STREAMERSON_BROKER_FROM says (see
// brokers.EnvFrom), containers included: it fails a test whose broker can't be had, and stops it afterwards.
package brokerstest

import (
	"context"
	"testing"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/internal/brokers/containers"
)

// StartRedis is brokers.StartRedis that can start containers, for a TestMain. The caller stops it.
func StartRedis(ctx context.Context, cfg brokers.RedisConfig) (*brokers.Redis, error) {
	cfg.Launcher = containers.Launch
	return brokers.StartRedis(ctx, cfg)
}

// StartKafka is brokers.StartKafka that can start containers, for a TestMain. The caller stops it.
func StartKafka(ctx context.Context, cfg brokers.KafkaConfig) (*brokers.Kafka, error) {
	cfg.Launcher = containers.Launch
	return brokers.StartKafka(ctx, cfg)
}

// StartNATS is brokers.StartNATSProcess that can start containers. The caller stops it.
func StartNATS(ctx context.Context, cfg brokers.NATSConfig) (*brokers.NATSProcess, error) {
	cfg.Launcher = containers.Launch
	return brokers.StartNATSProcess(ctx, cfg)
}

// Redis starts a Redis for the test and stops it when the test ends. A missing binary fails the test: it is never skipped.
func Redis(t testing.TB, cfg brokers.RedisConfig) *brokers.Redis { return start(t, StartRedis, cfg) }

// Kafka starts a Kafka for the test and stops it when the test ends. A missing Java fails the test: it is never skipped.
func Kafka(t testing.TB, cfg brokers.KafkaConfig) *brokers.Kafka { return start(t, StartKafka, cfg) }

// NATS starts a nats-server for the test and stops it when the test ends. The test binary's TestMain must call
// brokers.ServeNATSChild.
func NATS(t testing.TB, cfg brokers.NATSConfig) *brokers.NATSProcess { return start(t, StartNATS, cfg) }

type stopper interface{ Stop() }

func start[C any, B stopper](t testing.TB, start func(context.Context, C) (B, error), cfg C) B {
	t.Helper()
	b, err := start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	return b
}
