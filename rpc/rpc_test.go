package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
	"github.com/streamerson/streamerson/transport/mem"
)

// world is a client and its servers on one in-process broker.
type world struct {
	t      *testing.T
	d      *mem.Driver
	broker *mem.Broker
	client *rpc.Client
	seen   *counter
}

func newWorld(t *testing.T, cfg rpc.ClientConfig) *world {
	t.Helper()
	d := mem.New()
	w := &world{t: t, d: d, broker: d.Broker(), seen: &counter{n: map[string]int{}}}
	if cfg.Observer == nil {
		cfg.Observer = w.seen
	}
	c, err := rpc.NewClient(t.Context(), d, cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.client = c
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return w
}

// serve runs a server with functions until stop or the test's end.
func (w *world) serve(cfg rpc.ServerConfig, functions map[string]rpc.Handler) (stop func()) {
	w.t.Helper()
	if cfg.Streams == nil {
		cfg.Streams = []rpc.StreamConfig{{Name: "s"}}
	}
	cfg.Observer = w.seen
	s, err := rpc.NewServer(w.d, cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	for name, h := range functions {
		s.Handle(name, h)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for s.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

func echo(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
	return &rpc.Response{Body: r.Body, ContentType: r.ContentType, Header: r.Header, Status: 201}, nil
}

func (w *world) call(f, body string) (*rpc.Response, error) {
	return w.client.Call(context.Background(), &rpc.Request{Stream: "s", Function: f, Body: []byte(body)})
}

type counter struct {
	rpc.NopObserver
	mu sync.Mutex
	n  map[string]int
}

func (c *counter) add(k string) { c.mu.Lock(); c.n[k]++; c.mu.Unlock() }

func (c *counter) get(k string) int { c.mu.Lock(); defer c.mu.Unlock(); return c.n[k] }

func (c *counter) ReplyDropped(w rpc.ReplyDrop)               { c.add("reply " + string(w)) }
func (c *counter) Expired(_ string, w rpc.ExpireReason)       { c.add("expired " + string(w)) }
func (c *counter) Redelivered(string)                         { c.add("redelivered") }
func (c *counter) Duplicate(string)                           { c.add("duplicate") }
func (c *counter) DeadLettered(_ string, cause rpc.DeadCause) { c.add("dead " + string(cause)) }
func (c *counter) LeaseLost(string)                           { c.add("lease lost") }

func wantCode(t *testing.T, err error, code rpc.Code) *rpc.Error {
	t.Helper()
	e, ok := errors.AsType[*rpc.Error](err)
	if !ok || e.Code != code {
		t.Fatalf("error is %v, want code %v", err, code)
	}
	return e
}

func TestEcho(t *testing.T) {
	w := newWorld(t, rpc.ClientConfig{})
	w.serve(rpc.ServerConfig{}, map[string]rpc.Handler{"echo": echo})
	resp, err := w.client.Call(t.Context(), &rpc.Request{
		Stream: "s", Function: "echo", Body: []byte("hello"), ContentType: "text/plain", Header: rpc.Header{{Name: "A", Value: "1"}, {Name: "a", Value: "2"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if string(resp.Body) != "hello" || resp.ContentType != "text/plain" || resp.Status != 201 || fmt.Sprint(resp.Header) != "[{A 1} {a 2}]" {
		t.Errorf("got %+v", resp)
	}
	if resp.Timing.Total <= 0 {
		t.Errorf("no timing: %+v", resp.Timing)
	}
}

func TestManyCallsKeepTheirReplies(t *testing.T) {
	w := newWorld(t, rpc.ClientConfig{})
	w.serve(rpc.ServerConfig{Slots: 64}, map[string]rpc.Handler{"echo": echo})
	w.serve(rpc.ServerConfig{Slots: 64}, map[string]rpc.Handler{"echo": echo})
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			for j := range 50 {
				body := fmt.Appendf(nil, "%d/%d", i, j)
				resp, err := w.client.Call(t.Context(), &rpc.Request{Stream: "s", Function: "echo", Body: body})
				if err != nil || !bytes.Equal(resp.Body, body) {
					t.Errorf("%s: %v %v", body, resp, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestErrors(t *testing.T) {
	w := newWorld(t, rpc.ClientConfig{})
	w.serve(rpc.ServerConfig{}, map[string]rpc.Handler{
		"plain": func(context.Context, *rpc.Request) (*rpc.Response, error) { return nil, errors.New("disk on fire") },
		"coded": func(context.Context, *rpc.Request) (*rpc.Response, error) {
			return nil, &rpc.Error{Code: rpc.CodeAlreadyExists, Message: "taken", Origin: rpc.OriginHandler, RetryAfter: 3 * time.Second}
		},
		"panic":  func(context.Context, *rpc.Request) (*rpc.Response, error) { panic("boom") },
		"status": func(context.Context, *rpc.Request) (*rpc.Response, error) { return &rpc.Response{Status: 65_736}, nil },
		"empty":  func(context.Context, *rpc.Request) (*rpc.Response, error) { return nil, nil },
	})
	_, err := w.call("plain", "")
	if e := wantCode(t, err, rpc.CodeInternal); e.Message != "disk on fire" || e.Origin != rpc.OriginHandler {
		t.Errorf("%+v", e)
	}
	_, err = w.call("coded", "")
	if e := wantCode(t, err, rpc.CodeAlreadyExists); e.Message != "taken" || e.RetryAfter != 3*time.Second {
		t.Errorf("%+v", e)
	}
	_, err = w.call("panic", "")
	if e := wantCode(t, err, rpc.CodeInternal); e.Origin != rpc.OriginRuntime {
		t.Errorf("a panic reads as the handler's word: %+v", e)
	}
	_, err = w.call("status", "") // 200 in 16 bits
	wantCode(t, err, rpc.CodeInternal)
	_, err = w.call("missing", "")
	if e := wantCode(t, err, rpc.CodeUnimplemented); e.Origin != rpc.OriginRuntime {
		t.Errorf("%+v", e)
	}
	if resp, err := w.call("empty", ""); err != nil || len(resp.Body) != 0 {
		t.Errorf("%v %v", resp, err)
	}
}

func TestDeadlineEndsCallAndHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{})
		ended := make(chan error, 1)
		w.serve(rpc.ServerConfig{}, map[string]rpc.Handler{"slow": func(ctx context.Context, _ *rpc.Request) (*rpc.Response, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			time.Sleep(100 * time.Millisecond)
			return nil, ctx.Err()
		}})
		start := time.Now()
		_, err := w.client.Call(t.Context(), &rpc.Request{Stream: "s", Function: "slow", Timeout: time.Second})
		wantCode(t, err, rpc.CodeDeadlineExceeded)
		if d := time.Since(start); d < time.Second || d > 1100*time.Millisecond {
			t.Errorf("took %v", d)
		}
		if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the handler's context ended with %v", err)
		}
		time.Sleep(time.Second)
		if n := w.seen.get("reply late"); n != 1 {
			t.Errorf("late replies: %d, want 1", n)
		}
	})
}

func TestCancelReachesTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{})
		started, ended := make(chan struct{}), make(chan error, 1)
		w.serve(rpc.ServerConfig{}, map[string]rpc.Handler{"slow": func(ctx context.Context, _ *rpc.Request) (*rpc.Response, error) {
			close(started)
			child, stop := context.WithCancel(ctx)
			defer stop()
			<-child.Done()
			ended <- context.Cause(child)
			return nil, child.Err()
		}})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-started; cancel() }()
		_, err := w.client.Call(ctx, &rpc.Request{Stream: "s", Function: "slow"})
		wantCode(t, err, rpc.CodeCanceled)
		if cause := <-ended; !errors.Is(cause, rpc.ErrCallerGone) {
			t.Errorf("cause is %v", cause)
		}
	})
}

func TestExpiredInTheQueueNeverRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{NoWorkerWait: -1})
		var ran atomic.Int32
		if err := w.d.Ensure(t.Context(), []transport.StreamSpec{{Stream: "s", Groups: []string{rpc.DefaultGroup}}}); err != nil {
			t.Fatal(err)
		}
		_, err := w.client.Call(t.Context(), &rpc.Request{Stream: "s", Function: "f", Timeout: time.Second})
		wantCode(t, err, rpc.CodeDeadlineExceeded)
		w.serve(rpc.ServerConfig{}, map[string]rpc.Handler{"f": func(context.Context, *rpc.Request) (*rpc.Response, error) { ran.Add(1); return nil, nil }})
		time.Sleep(time.Second)
		if ran.Load() != 0 || w.seen.get("expired deadline") != 1 {
			t.Errorf("ran %d times, expired %d", ran.Load(), w.seen.get("expired deadline"))
		}
		lag, err := w.d.Lag(t.Context(), "s", rpc.DefaultGroup)
		if err != nil || lag.Pending != 0 || lag.Waiting != 0 {
			t.Errorf("left on the stream: %+v %v", lag, err)
		}
	})
}

func TestCancelledInTheQueueNeverRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{})
		blocked, release := make(chan struct{}), make(chan struct{})
		var ran atomic.Int32
		w.serve(rpc.ServerConfig{Slots: 1}, map[string]rpc.Handler{
			"block": func(context.Context, *rpc.Request) (*rpc.Response, error) { close(blocked); <-release; return nil, nil },
			"f":     func(context.Context, *rpc.Request) (*rpc.Response, error) { ran.Add(1); return nil, nil },
		})
		go func() { _, _ = w.call("block", "") }()
		<-blocked
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Hour, nil)
		go func() { time.Sleep(time.Second); cancel() }()
		_, err := w.client.Call(ctx, &rpc.Request{Stream: "s", Function: "f"})
		wantCode(t, err, rpc.CodeCanceled)
		time.Sleep(time.Millisecond)
		close(release)
		time.Sleep(time.Second)
		if ran.Load() != 0 || w.seen.get("expired canceled") != 1 {
			t.Errorf("ran %d times, expired %d", ran.Load(), w.seen.get("expired canceled"))
		}
	})
}

func TestNoWorkerFailsFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{})
		start := time.Now()
		_, err := w.call("f", "")
		e := wantCode(t, err, rpc.CodeUnavailable)
		if d := time.Since(start); d > time.Second || e.RetryAfter == 0 || e.Published != transport.OutcomeRejected {
			t.Errorf("after %v: %+v", d, e)
		}
		start = time.Now()
		_, err = w.call("f", "")
		wantCode(t, err, rpc.CodeUnavailable)
		if d := time.Since(start); d > 100*time.Millisecond {
			t.Errorf("the second call took %v; it is known by now", d)
		}
		// A worker that comes while a call waits is used.
		time.Sleep(20 * time.Second) // forgotten
		go func() {
			time.Sleep(300 * time.Millisecond)
			w.serve(rpc.ServerConfig{}, map[string]rpc.Handler{"f": echo})
		}()
		if _, err := w.call("f", ""); err != nil {
			t.Error(err)
		}
	})
}

func TestLongHandlerKeepsItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{})
		var runs atomic.Int32
		h := map[string]rpc.Handler{"long": func(context.Context, *rpc.Request) (*rpc.Response, error) {
			runs.Add(1)
			time.Sleep(9 * time.Second)
			return nil, nil
		}}
		w.serve(rpc.ServerConfig{Lease: 3 * time.Second}, h)
		w.serve(rpc.ServerConfig{Lease: 3 * time.Second}, h)
		if _, err := w.client.Call(t.Context(), &rpc.Request{Stream: "s", Function: "long", Timeout: 20 * time.Second}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if runs.Load() != 1 {
			t.Errorf("ran %d times", runs.Load())
		}
	})
}

func TestOneWayIsRetriedThenDeadLettered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{})
		var mu sync.Mutex
		var at []time.Duration
		start := time.Now()
		w.serve(rpc.ServerConfig{}, map[string]rpc.Handler{"f": func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
			mu.Lock()
			at = append(at, time.Since(start).Round(time.Second))
			mu.Unlock()
			return nil, errors.New("no luck")
		}})
		if err := w.client.Send(t.Context(), &rpc.Request{Stream: "s", Function: "f", Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if got, want := fmt.Sprint(at), "[0s 10s 30s 1m0s]"; got != want {
			t.Errorf("attempts at %s, want %s", got, want)
		}
		dead, err := w.d.Browse(t.Context(), rpc.DeadStream("s"), "", 10)
		if err != nil || len(dead) != 1 {
			t.Fatalf("%d dead letters, %v", len(dead), err)
		}
		l, err := rpc.ParseDeadLetter(dead[0].Body)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{rpc.DeadHeaderCause: "failed", rpc.DeadHeaderError: "no luck", rpc.DeadHeaderStream: "s", rpc.DeadHeaderAttempts: "4"} {
			if got := l.Header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	})
}

func TestPoisonIsDeadLetteredAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{})
		w.serve(rpc.ServerConfig{}, map[string]rpc.Handler{"echo": echo})
		var r [1]transport.Result
		w.d.Publish(t.Context(), []transport.Message{{Stream: "s", Body: []byte("not a frame")}}, r[:])
		if _, err := w.call("echo", "good"); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		dead, err := w.d.Browse(t.Context(), rpc.DeadStream("s"), "", 10)
		if err != nil || len(dead) != 1 {
			t.Fatalf("%d dead letters, %v", len(dead), err)
		}
		l, err := rpc.ParseDeadLetter(dead[0].Body)
		if err != nil || string(l.Frame) != "not a frame" || l.Header.Get(rpc.DeadHeaderCause) != "undecodable" {
			t.Errorf("%+v %v", l, err)
		}
	})
}

func TestReplyRefusedIsNeverAckedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{})
		var runs atomic.Int32
		w.serve(rpc.ServerConfig{}, map[string]rpc.Handler{"f": func(context.Context, *rpc.Request) (*rpc.Response, error) {
			// Strikes the reply: it is the next message.
			w.broker.FailPublishes("", 3, mem.Fault{Outcome: transport.OutcomeRejected, Code: transport.CodeFull})
			runs.Add(1)
			return &rpc.Response{Body: []byte("kept")}, nil
		}})
		resp, err := w.call("f", "")
		if err != nil || string(resp.Body) != "kept" || runs.Load() != 1 {
			t.Fatalf("%v %v, %d runs", resp, err, runs.Load())
		}
	})
}

func TestRejectedIsRetriedUnknownIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{})
		var runs atomic.Int32
		w.serve(rpc.ServerConfig{}, map[string]rpc.Handler{"f": func(context.Context, *rpc.Request) (*rpc.Response, error) { runs.Add(1); return nil, nil }})
		w.broker.FailPublishes("s", 2, mem.Fault{Outcome: transport.OutcomeRejected, Code: transport.CodeUnavailable})
		if _, err := w.call("f", ""); err != nil || runs.Load() != 1 {
			t.Fatalf("two rejections: %v, %d runs", err, runs.Load())
		}
		w.broker.FailPublishes("s", 1, mem.Fault{Outcome: transport.OutcomeUnknown, Code: transport.CodeTimeout, Store: true})
		if _, err := w.call("f", ""); err != nil || runs.Load() != 2 {
			t.Fatalf("stored after all: %v, %d runs", err, runs.Load())
		}
		w.broker.FailPublishes("s", 1, mem.Fault{Outcome: transport.OutcomeUnknown, Code: transport.CodeTimeout})
		_, err := w.client.Call(t.Context(), &rpc.Request{Stream: "s", Function: "f", Timeout: time.Second})
		if e := wantCode(t, err, rpc.CodeDeadlineExceeded); e.Published != transport.OutcomeUnknown || runs.Load() != 2 {
			t.Errorf("not stored: %+v, %d runs", e, runs.Load())
		}
	})
}

func TestNestedCallsInherit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{})
		var inner rpc.Request
		var left time.Duration
		w.serve(rpc.ServerConfig{Streams: []rpc.StreamConfig{{Name: "s"}, {Name: "t"}}}, map[string]rpc.Handler{
			"outer": func(ctx context.Context, r *rpc.Request) (*rpc.Response, error) {
				time.Sleep(time.Second)
				return w.client.Call(ctx, &rpc.Request{Stream: "t", Function: "inner"})
			},
			"inner": func(ctx context.Context, r *rpc.Request) (*rpc.Response, error) {
				inner = *r
				d, _ := ctx.Deadline()
				left = time.Until(d)
				return nil, nil
			},
		})
		_, err := w.client.Call(t.Context(), &rpc.Request{
			Stream: "s", Function: "outer", Timeout: 4 * time.Second, Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			Header: rpc.Header{{Name: rpc.HeaderIdentity, Value: "ada"}, {Name: rpc.HeaderRequestID, Value: "r1"}, {Name: "Other", Value: "x"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if inner.Header.Get(rpc.HeaderIdentity) != "ada" || inner.Header.Get(rpc.HeaderRequestID) != "r1" || inner.Header.Get("Other") != "" || inner.Trace == "" {
			t.Errorf("inherited %+v", inner)
		}
		if left > 3*time.Second || left < 2900*time.Millisecond {
			t.Errorf("the nested call has %v left, want 3s", left)
		}
	})
}

func TestDrainFinishesWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{})
		started := make(chan struct{})
		stop := w.serve(rpc.ServerConfig{}, map[string]rpc.Handler{"f": func(context.Context, *rpc.Request) (*rpc.Response, error) {
			close(started)
			time.Sleep(5 * time.Second)
			return &rpc.Response{Body: []byte("done")}, nil
		}})
		stopped := make(chan struct{})
		go func() { <-started; stop(); close(stopped) }()
		if resp, err := w.call("f", ""); err != nil || string(resp.Body) != "done" {
			t.Errorf("%v %v", resp, err)
		}
		<-stopped
	})
}
