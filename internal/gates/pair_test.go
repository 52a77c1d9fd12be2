//go:build !race

package gates

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

// bodySize is that of the benchmark's usual workload, in bytes.
const bodySize = 128

// pair is a client and a worker, each with a driver of its own, as two processes would have them.
type pair struct {
	t       *testing.T
	client  *rpc.Client
	streams []string
	pack    bool // calls may share messages
	// drivers of the client and the worker.
	drivers [2]transport.Driver
	end     func()
}

func open(t *testing.T, url string) transport.Driver {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	d, err := transport.Default.Open(ctx, url, transport.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// names of n streams.
func names(n int) []string {
	s := make([]string, n)
	for i := range s {
		s[i] = "gate." + strconv.Itoa(i)
	}
	return s
}

// start brings a pair up and makes one call on each of the first 256 streams, so that all is attached and known.
func start(t *testing.T, url string, streams ...string) *pair {
	t.Helper()
	p := &pair{t: t, streams: streams, drivers: [2]transport.Driver{open(t, url), open(t, url)}}
	cfg := rpc.ServerConfig{Slots: 256, Logger: slog.New(slog.DiscardHandler)}
	for _, s := range streams {
		cfg.Streams = append(cfg.Streams, rpc.StreamConfig{Name: s})
	}
	s, err := rpc.NewServer(p.drivers[1], cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Handle("echo", func(_ context.Context, req *rpc.Request) (*rpc.Response, error) {
		return &rpc.Response{Body: req.Body}, nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	if p.client, err = rpc.NewClient(ctx, p.drivers[0], rpc.ClientConfig{Name: "gate"}); err != nil {
		t.Fatal(err)
	}
	p.end = sync.OnceFunc(func() {
		err := p.client.Close(ctx)
		cancel()
		err = errors.Join(err, <-ended)
		for _, d := range p.drivers {
			err = errors.Join(err, d.Close(context.Background()))
		}
		if err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(p.end)
	for deadline := time.Now().Add(time.Minute); s.Ready() != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the worker is not ready: %v", s.Ready())
		}
	}
	p.load(max(2000, 2*len(streams)), 256)
	return p
}

// load makes calls, so many in flight, over the streams in turn, and checks every reply.
func (p *pair) load(calls, inFlight int) {
	p.t.Helper()
	var next, failed atomic.Int64
	var first atomic.Pointer[error]
	var wg sync.WaitGroup
	for range inFlight {
		wg.Go(func() {
			body := make([]byte, bodySize)
			for {
				i := next.Add(1) - 1
				if i >= int64(calls) {
					return
				}
				copy(body, strconv.AppendInt(body[:0], i, 10))
				resp, err := p.client.Call(p.t.Context(), &rpc.Request{Stream: p.streams[i%int64(len(p.streams))], Function: "echo", Body: body, Pack: p.pack})
				if err == nil && !bytes.Equal(resp.Body, body) {
					err = fmt.Errorf("call %d got %q", i, resp.Body)
				}
				if err != nil {
					failed.Add(1)
					first.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	wg.Wait()
	if n := failed.Load(); n > 0 {
		p.t.Fatalf("%d of %d calls failed, the first by %v", n, calls, *first.Load())
	}
}

// allocated is what the whole process takes from the heap while f runs: the client's, the worker's and both drivers' part.
func allocated(f func()) (objects, size float64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs - before.Mallocs), float64(after.TotalAlloc - before.TotalAlloc)
}

// settled waits until nothing waits or is pending on any of the pair's streams: acks and trimming may come a little later
// than the replies.
func (p *pair) settled() {
	p.t.Helper()
	for _, s := range p.streams {
		var lag transport.Lag
		var err error
		eventually(p.t, func() bool {
			lag, err = p.drivers[0].Lag(p.t.Context(), s, rpc.DefaultGroup)
			return err == nil && lag.Waiting <= 0 && lag.Pending <= 0
		}, func() string { return fmt.Sprintf("stream %s: %+v, %v", s, lag, err) })
	}
}

// eventually waits for what comes by itself, such as trimming: at most half a minute, more than a lease and some rounds of
// housekeeping on a busy machine.
func eventually(t *testing.T, ok func() bool, state func() string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(state())
		}
	}
}
