package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
	"github.com/streamerson/streamerson/transport/mem"
)

// unserved is a client of a stream that nobody serves, and its driver.
func unserved(t *testing.T) (*rpc.Client, *mem.Driver) {
	t.Helper()
	d := mem.New()
	c, err := rpc.NewClient(t.Context(), d, rpc.ClientConfig{NoWorkerWait: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Ensure(t.Context(), []transport.StreamSpec{{Stream: "s"}}); err != nil {
		t.Fatal(err)
	}
	return c, d
}

func TestCloseEndsCallsThatItNoLongerWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d := unserved(t)
		ended := make(chan error, 1)
		go func() {
			_, err := c.Call(context.Background(), &rpc.Request{Stream: "s", Timeout: time.Minute})
			ended <- err
		}()
		synctest.Wait()
		end, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = c.Close(end) // ctx has ended when the lane is closed
		select {
		case err := <-ended:
			if e := wantCode(t, err, rpc.CodeUnavailable); e.Published != transport.OutcomeAccepted {
				t.Errorf("published: %v, want accepted", e.Published)
			}
		case <-time.After(2 * time.Minute):
			t.Error("the call outlives its client and its deadline")
		}
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestAnEndedCallTakesNoOtherOfItsID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d := unserved(t)
		d.Broker().FailPublishes("s", 1, mem.Fault{Outcome: transport.OutcomeRejected, Code: transport.CodeFull})
		resume := d.Broker().Pause()
		id := rpc.NewID()
		call := func(ctx context.Context) <-chan error {
			ended := make(chan error, 1)
			go func() {
				_, err := c.Call(ctx, &rpc.Request{ID: id, Stream: "s", Timeout: time.Second})
				ended <- err
			}()
			synctest.Wait()
			return ended
		}
		ctx, cancel := context.WithCancel(t.Context())
		first := call(ctx)
		cancel()
		wantCode(t, <-first, rpc.CodeCanceled)
		second := call(context.Background())
		resume() // now the first one's publish is refused
		select {
		case err := <-second:
			wantCode(t, err, rpc.CodeDeadlineExceeded)
		case <-time.After(time.Minute):
			t.Error("the second call never ends")
		}
		end, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := c.Close(end); err != nil {
			t.Error(err)
		}
		if err := d.Close(end); err != nil {
			t.Error(err)
		}
	})
}

type nilError struct{ text string }

func (e *nilError) Error() string { return e.text }

func TestNilPointerAsErrorIsAPanicOfTheHandler(t *testing.T) {
	w := newWorld(t, rpc.ClientConfig{})
	w.serve(rpc.ServerConfig{}, map[string]rpc.Handler{
		"ours": func(context.Context, *rpc.Request) (*rpc.Response, error) { var e *rpc.Error; return nil, e },
		"wrapped": func(context.Context, *rpc.Request) (*rpc.Response, error) {
			var e *rpc.Error
			return nil, fmt.Errorf("nothing: %w", e) // fmt does not panic
		},
		"theirs": func(context.Context, *rpc.Request) (*rpc.Response, error) { var e *nilError; return nil, e },
	})
	for _, f := range []string{"ours", "wrapped", "theirs"} {
		_, err := w.call(f, "")
		wantCode(t, err, rpc.CodeInternal)
	}
}

func TestIdleSlotsAreLentWhileNoHandlerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{})
		var running atomic.Int32
		w.serve(rpc.ServerConfig{Slots: 4, Streams: []rpc.StreamConfig{{Name: "image", Min: 3, Lend: true}, {Name: "short", Min: 1}}}, map[string]rpc.Handler{
			"quick": func(context.Context, *rpc.Request) (*rpc.Response, error) { return nil, nil },
			"slow": func(context.Context, *rpc.Request) (*rpc.Response, error) {
				running.Add(1)
				time.Sleep(15 * time.Second)
				return nil, nil
			},
		})
		if _, err := w.client.Call(t.Context(), &rpc.Request{Stream: "image", Function: "quick"}); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			if err := w.client.Send(t.Context(), &rpc.Request{Stream: "short", Function: "slow"}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Second)
		if n := running.Load(); n != 4 {
			t.Errorf("%d of 4 run, and image's reserved slots are idle", n)
		}
	})
}

// inject publishes a frame as it is.
func (w *world) inject(frame []byte) {
	w.t.Helper()
	var r [1]transport.Result
	w.d.Publish(w.t.Context(), []transport.Message{{Stream: "s", Body: frame}}, r[:])
	if r[0].Err != nil {
		w.t.Fatal(r[0].Err)
	}
}

// unstored claims to store nothing.
type unstored struct{ *mem.Driver }

func (d unstored) Capabilities() transport.Capabilities {
	c := d.Driver.Capabilities()
	c.Stored = false
	return c
}

// A dead letter that nobody takes is dropped where the transport stores nothing; elsewhere the request waits for it.
func TestDeadLetterThatNobodyTakes(t *testing.T) {
	for _, stored := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			d := mem.New()
			var under transport.Driver = d
			if !stored {
				under = unstored{d}
			}
			s, err := rpc.NewServer(under, rpc.ServerConfig{Streams: []rpc.StreamConfig{{Name: "s"}}})
			if err != nil {
				t.Fatal(err)
			}
			s.Handle("echo", echo)
			d.Broker().FailPublishes(rpc.DeadStream("s"), 1000, mem.Fault{Outcome: transport.OutcomeRejected, Code: transport.CodeUnavailable})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- s.Run(ctx) }()
			synctest.Wait()
			d.Publish(t.Context(), []transport.Message{{Stream: "s", Body: []byte("no envelope")}}, make([]transport.Result, 1))
			time.Sleep(10 * time.Second)
			l, err := d.Lag(t.Context(), "s", rpc.DefaultGroup)
			if err != nil || (l.Pending == 1) != stored {
				t.Errorf("stored %v: %d pending, %v", stored, l.Pending, err)
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if err := d.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
}

// dead returns the only dead letter.
func (w *world) dead() *rpc.DeadLetter {
	w.t.Helper()
	time.Sleep(time.Second)
	dead, err := w.d.Browse(w.t.Context(), rpc.DeadStream("s"), "", 10)
	if err != nil || len(dead) != 1 {
		w.t.Fatalf("%d dead letters, %v", len(dead), err)
	}
	l, err := rpc.ParseDeadLetter(dead[0].Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

func TestFrameThatFillsTheTransportIsDeadLettered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{})
		stop := w.serve(rpc.ServerConfig{}, map[string]rpc.Handler{"f": echo})
		w.inject(make([]byte, mem.MaxBody))
		l := w.dead()
		if text := l.Header.Get(rpc.DeadHeaderError); len(l.Frame) < mem.MaxBody-8192 || !strings.Contains(text, "cut from 16777216") {
			t.Errorf("%d bytes, %s", len(l.Frame), text)
		}
		stop()
	})
}

func TestFrameWithoutIDIsNotAckedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{})
		w.serve(rpc.ServerConfig{}, map[string]rpc.Handler{"f": echo})
		w.inject(wire.Append(nil, &wire.Envelope{Kind: wire.KindSend, Function: "f", Attempt: 1}))
		if l := w.dead(); l.Header.Get(rpc.DeadHeaderCause) != string(rpc.DeadUndecodable) {
			t.Errorf("%+v", l)
		}
	})
}

// slowAnswer is a driver whose consumers' Settle takes a while to return after the broker has done it.
type slowAnswer struct {
	*mem.Driver
	settle func()
}

type slowConsumer struct {
	transport.Consumer
	settle func()
}

func (d slowAnswer) Join(ctx context.Context, sub transport.Subscription) (transport.Consumer, error) {
	c, err := d.Driver.Join(ctx, sub)
	return slowConsumer{c, d.settle}, err
}

func (c slowConsumer) Settle(ctx context.Context, batch []transport.Settlement, errs []error) {
	c.Consumer.Settle(ctx, batch, errs)
	c.settle()
}

func TestReleasedEntryMayComeBackBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{})
		s, err := rpc.NewServer(slowAnswer{w.d, func() { time.Sleep(10 * time.Millisecond) }}, rpc.ServerConfig{
			Streams: []rpc.StreamConfig{{Name: "s"}}, RetryDelays: []time.Duration{0, 0, 0}, Observer: w.seen,
		})
		if err != nil {
			t.Fatal(err)
		}
		var attempts []int
		s.Handle("f", func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
			attempts = append(attempts, r.Attempt)
			return nil, errors.New("no luck")
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(time.Second)
		if err := w.client.Send(t.Context(), &rpc.Request{Stream: "s", Function: "f"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // less than a lease
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got := fmt.Sprint(attempts); got != "[1 2 3 4]" {
			t.Errorf("attempts %s, want [1 2 3 4]; %v", got, w.seen.n)
		}
	})
}

func TestEntriesOfTwoStreamsAreNotTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{})
		w.serve(rpc.ServerConfig{Streams: []rpc.StreamConfig{{Name: "a"}, {Name: "b"}}}, map[string]rpc.Handler{
			"f": func(context.Context, *rpc.Request) (*rpc.Response, error) {
				time.Sleep(time.Second)
				return nil, nil
			},
		})
		frame := wire.Append(nil, &wire.Envelope{Kind: wire.KindSend, ID: rpc.NewID(), Function: "f", Attempt: 1})
		var r [2]transport.Result
		w.d.Publish(t.Context(), []transport.Message{{Stream: "a", Body: frame}, {Stream: "b", Body: frame}}, r[:])
		time.Sleep(10 * time.Second)
		if d, n := w.seen.get("duplicate"), w.seen.get("redelivered"); d != 1 || n != 0 {
			t.Errorf("%d duplicates, %d redelivered: the one's settlement went to the other's entry", d, n)
		}
	})
}

func TestRunningRequestIsNotGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{})
		w.serve(rpc.ServerConfig{}, map[string]rpc.Handler{"f": func(context.Context, *rpc.Request) (*rpc.Response, error) {
			time.Sleep(8 * time.Second)
			return &rpc.Response{Body: []byte("done")}, nil
		}})
		go func() {
			for range 6 { // the broker takes the lease away again and again, and nobody else is there to get the request
				time.Sleep(time.Second)
				w.broker.ExpireLeases("s")
			}
		}()
		if resp, err := w.call("f", ""); err != nil || string(resp.Body) != "done" {
			t.Errorf("%v %v; %v", resp, err, w.seen.n)
		}
	})
}

func TestHandlerThatEndsItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{})
		w.serve(rpc.ServerConfig{Slots: 1}, map[string]rpc.Handler{
			"exit": func(context.Context, *rpc.Request) (*rpc.Response, error) { runtime.Goexit(); return nil, nil },
			"echo": echo,
		})
		_, err := w.call("exit", "")
		wantCode(t, err, rpc.CodeInternal)
		if _, err := w.call("echo", ""); err != nil {
			t.Errorf("the slot is lost: %v", err)
		}
	})
}

// A driver that is closed under a server ends it with an error: it would otherwise look like a drain.
func TestClosedDriverEndsTheServer(t *testing.T) {
	d := mem.New()
	s, err := rpc.NewServer(d, rpc.ServerConfig{Streams: []rpc.StreamConfig{{Name: "s"}}})
	if err != nil {
		t.Fatal(err)
	}
	s.Handle("f", echo)
	done := make(chan error, 1)
	go func() { done <- s.Run(context.Background()) }()
	for s.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
	if err := d.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !transport.IsCode(err, transport.CodeClosed) {
		t.Errorf("Run ended with %v", err)
	}
}
