package faults

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/internal/brokers/brokerstest"
	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

// world is one test's broker with a stream, and a way to look behind everybody's back.
type world struct {
	t       testing.TB
	broker  *brokers.Redis
	admin   *redis.Client
	stream  string
	workers atomic.Int32
}

var serial atomic.Int32

// newWorld starts a Redis that keeps what it accepted (AOF everysec).
func newWorld(t testing.TB) *world {
	t.Helper()
	r := brokerstest.Redis(t, brokers.RedisConfig{AOF: "everysec", Own: true})
	w := &world{t: t, broker: r, stream: fmt.Sprintf("s%d", serial.Add(1))}
	w.admin = redis.NewClient(&redis.Options{Addr: r.Addr, ClientName: "admin", Protocol: 2, DisableIdentity: true})
	t.Cleanup(func() { _ = w.admin.Close() })
	return w
}

// key is the stream's key in Redis.
func (w *world) key() string { return "streamerson:{" + w.stream + "}" }

func (w *world) config(change func(*childConfig)) childConfig {
	cfg := childConfig{
		URL: w.broker.URL, Ledger: ledger.Addr, Name: fmt.Sprintf("w%d", w.workers.Add(1)), Streams: []string{w.stream},
		Slots: 32, Lease: time.Second,
	}
	if change != nil {
		change(&cfg)
	}
	return cfg
}

// worker starts a worker process.
func (w *world) worker(change func(*childConfig)) *process {
	w.t.Helper()
	return start(w.t, roleWorker, w.config(change))
}

// client is a client in the test's own process, over the given URL.
func (w *world) clientAt(rawURL string, cfg rpc.ClientConfig) (*rpc.Client, *counts, transport.Driver) {
	w.t.Helper()
	seen := &counts{}
	d, err := openDriver(w.t.Context(), rawURL, seen.driverEvent)
	if err != nil {
		w.t.Fatal(err)
	}
	cfg.Observer, cfg.Logger = seen, slog.New(slog.DiscardHandler)
	c, err := rpc.NewClient(w.t.Context(), d, cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = c.Close(ctx)
		_ = d.Close(ctx)
	})
	return c, seen, d
}

func (w *world) client() (*rpc.Client, *counts) {
	w.t.Helper()
	c, seen, _ := w.clientAt(w.broker.URL, rpc.ClientConfig{})
	return c, seen
}

// request is one to the world's stream.
func (w *world) request(function, body string, timeout time.Duration) *rpc.Request {
	return &rpc.Request{Stream: w.stream, Function: function, Body: []byte(body), Timeout: timeout}
}

// pending counts what is delivered and unsettled; −1 when the broker doesn't answer.
func (w *world) pending() int64 {
	p, err := w.admin.XPending(context.Background(), w.key(), rpc.DefaultGroup).Result()
	if err != nil {
		return -1
	}
	return p.Count
}

// drained waits until the stream is empty: all settled, all trimmed.
func (w *world) drained(within time.Duration) {
	w.t.Helper()
	eventually(w.t, within, "an empty stream without pending entries", func() bool {
		n, err := w.admin.XLen(context.Background(), w.key()).Result()
		return err == nil && n == 0 && w.pending() == 0
	})
}

// lanes lists the private lanes' keys.
func (w *world) lanes() []string {
	w.t.Helper()
	keys, err := w.admin.Keys(context.Background(), "streamerson:lane:{*").Result()
	if err != nil {
		w.t.Fatal(err)
	}
	private := keys[:0]
	for _, k := range keys {
		if !strings.HasPrefix(k, "streamerson:lane:{~") {
			private = append(private, k)
		}
	}
	return private
}

// keys lists all keys, sorted.
func (w *world) keys() []string {
	w.t.Helper()
	keys, err := w.admin.Keys(context.Background(), "*").Result()
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(keys)
	return keys
}

// dead reads all dead letters of the stream.
func (w *world) dead(d transport.Driver) []*rpc.DeadLetter {
	w.t.Helper()
	var all []*rpc.DeadLetter
	after := ""
	for {
		page, err := d.(transport.Browser).Browse(context.Background(), rpc.DeadStream(w.stream), after, 1000)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range page {
			l, err := rpc.ParseDeadLetter(e.Body)
			if err != nil {
				w.t.Fatal(err)
			}
			all = append(all, l)
			after = e.ID
		}
		if len(page) == 0 {
			return all
		}
	}
}
