// Package brokerstest gives tests their brokers: it fails a test whose broker can't be had, and stops it afterwards.
package brokerstest

import (
	"testing"

	"github.com/streamerson/streamerson/internal/brokers"
)

// Redis starts a Redis for the test and stops it when the test ends. A missing binary fails the test: it is never skipped.
func Redis(t testing.TB, cfg brokers.RedisConfig) *brokers.Redis {
	t.Helper()
	r, err := brokers.StartRedis(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	return r
}
