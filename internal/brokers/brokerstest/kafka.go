package brokerstest

import (
	"testing"

	"github.com/streamerson/streamerson/internal/brokers"
)

// Kafka starts a Kafka for the test and stops it when the test ends. A missing Java fails the test: it is never skipped.
func Kafka(t testing.TB, cfg brokers.KafkaConfig) *brokers.Kafka {
	t.Helper()
	k, err := brokers.StartKafka(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Stop)
	return k
}
