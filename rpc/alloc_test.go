//go:build !race

package rpc_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

// maxAllocs is the core's budget of allocations a call, client and server together, without the caller's request and the transport's
// own: one for the handling, which is the handler's context and request, one for the caller's response, and what the null transport
// takes for its large blocks. The race detector allocates, so this file is left out of its runs.
const maxAllocs = 2.5

func TestCallAllocations(t *testing.T) {
	client := nullPair(t)
	body := make([]byte, 128)
	call := func(t *testing.T, req *rpc.Request) {
		resp, err := client.Call(t.Context(), req)
		if err != nil || len(resp.Body) != len(body) {
			t.Errorf("got %v, %v", resp, err)
		}
	}
	many := func(t *testing.T, calls, inFlight int, pack bool) float64 {
		var next atomic.Int64
		var wg sync.WaitGroup
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for range inFlight {
			wg.Go(func() {
				req := &rpc.Request{Stream: "s", Function: "f", Body: body, Pack: pack}
				for next.Add(1) <= int64(calls) {
					call(t, req)
				}
			})
		}
		wg.Wait()
		runtime.ReadMemStats(&after)
		return float64(after.Mallocs-before.Mallocs) / float64(calls)
	}
	for _, pack := range []bool{false, true} { // packed, the handlings of a message are one array
		many(t, 20_000, 256, pack) // fill pools and windows
		if got := many(t, 50_000, 256, pack); got > maxAllocs {
			t.Errorf("256 in flight, packed %v: %.2f allocations a call, want at most %v", pack, got, maxAllocs)
		} else {
			t.Logf("256 in flight, packed %v: %.2f allocations a call", pack, got)
		}
	}
	req := &rpc.Request{Stream: "s", Function: "f", Body: body}
	if got := testing.AllocsPerRun(5_000, func() { call(t, req) }); got > maxAllocs {
		t.Errorf("one in flight: %v allocations a call, want at most %v", got, maxAllocs)
	} else {
		t.Logf("one in flight: %v allocations a call", got)
	}
}

// BenchmarkCall is the core's cost without a broker, 256 calls in flight.
func BenchmarkCall(b *testing.B) {
	for _, pack := range []bool{false, true} {
		b.Run(fmt.Sprintf("packed=%v", pack), func(b *testing.B) { benchmarkCalls(b, pack) })
	}
}

func benchmarkCalls(b *testing.B, pack bool) {
	c := nullPair(b)
	body := make([]byte, 128)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range 256 {
		wg.Go(func() {
			for next.Add(1) <= int64(b.N) {
				if _, err := c.Call(ctx, &rpc.Request{Stream: "s", Function: "f", Body: body, Pack: pack}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// nullPair is a client and a server whose handler allocates nothing, over a transport that allocates nothing either.
func nullPair(t testing.TB) *rpc.Client {
	d := &nullDriver{requests: newNullQueue[transport.Delivery](), replies: newNullQueue[[]byte]()}
	s, err := rpc.NewServer(d, rpc.ServerConfig{Slots: 256, Streams: []rpc.StreamConfig{{Name: "s"}}})
	if err != nil {
		t.Fatal(err)
	}
	answer := &rpc.Response{Body: make([]byte, 128)}
	s.Handle("f", func(context.Context, *rpc.Request) (*rpc.Response, error) { return answer, nil })
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	c, err := rpc.NewClient(ctx, d, rpc.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return c
}

// nullDriver is a transport of one stream and one lane, for counting what is above it: its memory is cut from large blocks.
type nullDriver struct {
	mu       sync.Mutex
	slab     []byte
	requests *nullQueue[transport.Delivery]
	replies  *nullQueue[[]byte]
}

func (d *nullDriver) Capabilities() transport.Capabilities {
	return transport.Capabilities{Name: "null", MaxBody: 1 << 20}
}
func (d *nullDriver) Ensure(context.Context, []transport.StreamSpec) error { return nil }
func (d *nullDriver) Lag(context.Context, string, string) (transport.Lag, error) {
	return transport.Lag{}, &transport.Error{Code: transport.CodeUnsupported, Op: "lag", Msg: "null"}
}
func (d *nullDriver) Close(context.Context) error { return nil }

func (d *nullDriver) copy(b []byte) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.slab) < len(b) {
		d.slab = make([]byte, 1<<20)
	}
	c := d.slab[:len(b):len(b)]
	d.slab = d.slab[len(b):]
	copy(c, b)
	return c
}

func (d *nullDriver) put(m transport.Message) {
	if m.Lane {
		d.replies.put(d.copy(m.Body))
		return
	}
	d.requests.put(transport.Delivery{Stream: m.Stream, ID: "0-1", Body: d.copy(m.Body), Attempt: 1, Age: -1})
}

func (d *nullDriver) Publish(_ context.Context, msgs []transport.Message, results []transport.Result) {
	for i, m := range msgs {
		d.put(m)
		results[i] = transport.Result{Outcome: transport.OutcomeAccepted}
	}
}

func (d *nullDriver) Join(context.Context, transport.Subscription) (transport.Consumer, error) {
	return nullConsumer{d}, nil
}

func (d *nullDriver) Tail(_ context.Context, spec transport.TailSpec) (transport.Tailer, error) {
	if spec.Shared {
		return nullTailer{newNullQueue[[]byte]()}, nil
	}
	return nullTailer{d.replies}, nil
}

type nullConsumer struct{ d *nullDriver }

func (c nullConsumer) Receive(ctx context.Context, n int, _ []transport.Credit) ([]transport.Delivery, error) {
	return c.d.requests.take(ctx, n)
}

func (c nullConsumer) Settle(_ context.Context, batch []transport.Settlement, errs []error) {
	for i, s := range batch {
		if s.Reply != nil && (i == 0 || s.Reply != batch[i-1].Reply) {
			c.d.put(*s.Reply)
		}
		errs[i] = nil
	}
}
func (c nullConsumer) Close(context.Context) error { return nil }

type nullTailer struct{ q *nullQueue[[]byte] }

func (t nullTailer) Address() string { return "lane" }
func (t nullTailer) Receive(ctx context.Context, n int) ([][]byte, error) {
	return t.q.take(ctx, n)
}
func (t nullTailer) Close(context.Context) error { return nil }

// nullQueue hands out parts of a large array, which it never uses again.
type nullQueue[T any] struct {
	mu    sync.Mutex
	items []T
	ready chan struct{}
}

func newNullQueue[T any]() *nullQueue[T] { return &nullQueue[T]{ready: make(chan struct{}, 1)} }

func (q *nullQueue[T]) put(v T) {
	q.mu.Lock()
	if len(q.items) == cap(q.items) {
		q.items = append(make([]T, 0, 1<<14), q.items...)
	}
	q.items = append(q.items, v)
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

func (q *nullQueue[T]) take(ctx context.Context, n int) ([]T, error) {
	for {
		q.mu.Lock()
		if k := min(n, len(q.items)); k > 0 {
			got := q.items[:k:k]
			q.items = q.items[k:]
			q.mu.Unlock()
			return got, nil
		}
		q.mu.Unlock()
		select {
		case <-q.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
