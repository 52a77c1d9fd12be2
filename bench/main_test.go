package bench

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/streamerson/streamerson/bench/result"
	"github.com/streamerson/streamerson/bench/role"
	"github.com/streamerson/streamerson/transport"
	"github.com/streamerson/streamerson/transport/kafka"
	"github.com/streamerson/streamerson/transport/mem"
	"github.com/streamerson/streamerson/transport/nats"
	"github.com/streamerson/streamerson/transport/redis"
)

// TestMain makes the test's own program one that can be started in a role.
func TestMain(m *testing.M) {
	transport.Default.Register("redis", redis.Open)
	transport.Default.Register("mem", mem.Open)
	for _, scheme := range kafka.Schemes {
		transport.Default.Register(scheme, kafka.Open)
	}
	for _, scheme := range nats.Schemes {
		transport.Default.Register(scheme, nats.Open)
	}
	if slices.Equal(os.Args[1:], roleArgs) {
		if err := RunRole(context.Background(), Wiring{}, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// Under the race detector each process sleeps for a second before it ends; many are started here.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func testSelf(t *testing.T) *role.Program {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return newSelf(exe, os.Stderr, "")
}

func testRedis(t *testing.T) *redisBroker {
	t.Helper()
	b, err := startRedis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func newResult(t *testing.T) *result.Run {
	t.Helper()
	return &result.Run{Meta: meta(t.Context(), DefaultOptions())}
}
