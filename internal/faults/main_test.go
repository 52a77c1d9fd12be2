// Package faults has only tests: what the HTTP gateway and the Redis driver must hold while parts are killed, filled up and cut off,
// beyond what conformance asks of every transport. The broker is a real Redis and every worker and gateway a process of its
// own, so that kill -9 means what it says.
// Each test's comment is its pass rule. Times in it are bounds on waiting, never a measure of speed; a bound is checked with
// slack added, because the machine may be busy with other packages' tests.
package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/transport"
	redistransport "github.com/streamerson/streamerson/transport/redis"
)

// slack is added to every bound on waiting.
const slack = 1500 * time.Millisecond

// The test binary starts itself again in one of these roles.
const (
	envRole   = "STREAMERSON_FAULTS_ROLE"
	envConfig = "STREAMERSON_FAULTS_CONFIG"

	roleWorker  = "worker"
	roleGateway = "gateway"
)

// ledger is a Redis that no test hurts: handlers write there that they ran.
var ledger *brokers.Redis

func TestMain(m *testing.M) {
	switch role := os.Getenv(envRole); role {
	case "":
	case roleWorker:
		os.Exit(asChild(runWorker))
	case roleGateway:
		os.Exit(asChild(runGateway))
	default:
		fmt.Fprintln(os.Stderr, "no such role:", role)
		os.Exit(2)
	}
	logging.Disable()
	slog.SetDefault(slog.New(slog.DiscardHandler)) // parts complain a lot while they are tortured
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	var err error
	ledger, err = brokers.StartRedis(ctx, brokers.RedisConfig{Own: true})
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	ledger.Stop()
	os.Exit(code)
}

// childConfig is what a child process is told, as JSON in its environment.
type childConfig struct {
	URL, Ledger, Name string
	Streams           []string
	Slots             int
	Lease             time.Duration
	// Listen is the gateway's address.
	Listen string
}

// asChild runs one role. A child ends with its parent, whatever happened to that: its standard input is closed then.
func asChild(role func(childConfig) error) int {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	var cfg childConfig
	if err := json.Unmarshal([]byte(os.Getenv(envConfig)), &cfg); err != nil {
		fmt.Fprintln(os.Stderr, envConfig, err)
		return 2
	}
	if err := role(cfg); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// openDriver opens the transport as a program does.
func openDriver(ctx context.Context, rawURL string, onEvent func(transport.Event)) (transport.Driver, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	return redistransport.Open(ctx, u, transport.Options{Logger: slog.New(slog.DiscardHandler), OnEvent: onEvent})
}

// runs is the ledger's hash for a stream: how often the request with each name was begun.
func runs(stream string) string { return "runs:" + stream }

// ends is the same for those that came to their end.
func ends(stream string) string { return "ends:" + stream }

var ledgerClient = sync.OnceValue(func() *redis.Client { return redis.NewClient(&redis.Options{Addr: ledger.Addr}) })

// ranTimes reads one of the ledger's hashes.
func ranTimes(t testing.TB, hash string) map[string]string {
	t.Helper()
	m, err := ledgerClient().HGetAll(context.Background(), hash).Result()
	if err != nil {
		t.Fatal(err)
	}
	return m
}
