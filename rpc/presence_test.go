package rpc_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
	"github.com/streamerson/streamerson/transport/mem"
)

// slowLag is a driver whose broker has to wait for its members' answers.
type slowLag struct{ *mem.Driver }

const lagTakes = 200 * time.Millisecond

func (d slowLag) Lag(ctx context.Context, stream, group string) (transport.Lag, error) {
	select {
	case <-time.After(lagTakes):
		return d.Driver.Lag(ctx, stream, group)
	case <-ctx.Done():
		return transport.Lag{}, &transport.Error{Code: transport.CodeTimeout, Op: "lag", Err: ctx.Err()}
	}
}

// The first call to a stream waits for one count, however many other streams are counted; a stream that is called no more and then
// again is counted anew, also the one whose look-up is spared.
func TestFirstCallWaitsForItsOwnCountOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{NoWorkerWait: -1})
		var streams []rpc.StreamConfig
		for i := range 100 {
			streams = append(streams, rpc.StreamConfig{Name: fmt.Sprint("s", i)})
		}
		stop := w.serve(rpc.ServerConfig{Streams: streams}, map[string]rpc.Handler{"echo": echo})
		c, err := rpc.NewClient(t.Context(), slowLag{w.d}, rpc.ClientConfig{})
		if err != nil {
			t.Fatal(err)
		}
		call := func(i int) (time.Duration, error) {
			start := time.Now()
			_, err := c.Call(t.Context(), &rpc.Request{Stream: fmt.Sprint("s", i), Function: "echo"})
			return time.Since(start), err
		}
		for i := range 99 {
			c.Watch(fmt.Sprint("s", i))
		}
		time.Sleep(5 * time.Second) // they are counted all the time
		for i, most := range map[int]time.Duration{0: 0, 99: lagTakes} {
			if took, err := call(i); err != nil || took > most {
				t.Errorf("the first call to stream %d took %v, want at most %v; %v", i, took, most, err)
			}
		}
		for i := range 3 { // the one that was called first is the one whose look-up is spared
			if took, err := call(i); err != nil || took > 0 {
				t.Errorf("a call to stream %d took %v, %v", i, took, err)
			}
		}
		time.Sleep(15 * time.Second) // nobody calls: the counts end
		stop()
		time.Sleep(5 * time.Second)
		for i := range 3 {
			if _, err := call(i); rpc.CodeOf(err) != rpc.CodeUnavailable {
				t.Errorf("a call to stream %d, which nobody serves any more: %v", i, err)
			}
		}
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// asking counts what is asked of its driver.
type asking struct {
	*mem.Driver
	lags atomic.Int64
}

func (d *asking) Lag(ctx context.Context, stream, group string) (transport.Lag, error) {
	d.lags.Add(1)
	return d.Driver.Lag(ctx, stream, group)
}

// askingMany can tell of many streams at once.
type askingMany struct {
	asking
	asks, streams atomic.Int64
}

func (d *askingMany) Live(ctx context.Context, streams []string, group string, live []bool) error {
	d.asks.Add(1)
	d.streams.Add(int64(len(streams)))
	for i, s := range streams {
		l, err := d.Driver.Lag(ctx, s, group)
		live[i] = err == nil && l.Consumers > 0
	}
	return nil
}

// While calls are answered nobody is asked who serves their stream; the answer to a call that began long ago says nothing, nor does
// one that came before the workers left.
func TestAnsweredCallsSpareTheCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{NoWorkerWait: -1})
		stop := w.serve(rpc.ServerConfig{}, map[string]rpc.Handler{"echo": echo, "slow": func(ctx context.Context, r *rpc.Request) (*rpc.Response, error) {
			time.Sleep(900 * time.Millisecond)
			return echo(ctx, r)
		}})
		d := &asking{Driver: w.d}
		c, err := rpc.NewClient(t.Context(), d, rpc.ClientConfig{})
		if err != nil {
			t.Fatal(err)
		}
		during := func(function string, pause time.Duration) int64 {
			before := d.lags.Load()
			for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(pause) {
				if _, err := c.Call(t.Context(), &rpc.Request{Stream: "s", Function: function}); err != nil {
					t.Fatal(err)
				}
			}
			return d.lags.Load() - before
		}
		if n := during("echo", 10*time.Millisecond); n > 2 {
			t.Errorf("with an answer each 10 ms it was asked %d times in 10 s", n)
		}
		if n := during("slow", 0); n < 45 {
			t.Errorf("with answers to calls that began 900 ms before it was asked %d times in 10 s, want each 200 ms", n)
		}
		during("echo", 10*time.Millisecond)
		stop()
		time.Sleep(500 * time.Millisecond)
		start := time.Now()
		if _, err := c.Call(t.Context(), &rpc.Request{Stream: "s", Function: "echo"}); rpc.CodeOf(err) != rpc.CodeUnavailable || time.Since(start) > time.Second {
			t.Errorf("half a second after the last worker left a call took %v, %v", time.Since(start), err)
		}
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// A driver that can tell of many streams is asked of all at once, and of nothing else.
func TestManyStreamsAreAskedForAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 50
		w := newWorld(t, rpc.ClientConfig{NoWorkerWait: -1})
		var streams []rpc.StreamConfig
		for i := range n {
			streams = append(streams, rpc.StreamConfig{Name: fmt.Sprint("s", i)})
		}
		w.serve(rpc.ServerConfig{Streams: streams}, map[string]rpc.Handler{"echo": echo})
		d := &askingMany{asking: asking{Driver: w.d}}
		c, err := rpc.NewClient(t.Context(), d, rpc.ClientConfig{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			c.Watch(fmt.Sprint("s", i))
		}
		time.Sleep(100 * time.Millisecond) // the first count of each is its own
		d.asks.Store(0)
		d.streams.Store(0)
		time.Sleep(5 * time.Second)
		if asks, of := d.asks.Load(), d.streams.Load(); asks > 26 || of < 20*n || of != n*asks {
			t.Errorf("asked %d times, of %d streams", asks, of)
		}
		if _, err := c.Call(t.Context(), &rpc.Request{Stream: "s7", Function: "echo"}); err != nil {
			t.Error(err)
		}
		c.Watch("nobody")
		if _, err := c.Call(t.Context(), &rpc.Request{Stream: "nobody", Function: "echo"}); rpc.CodeOf(err) != rpc.CodeUnavailable {
			t.Errorf("a call to a stream that nobody serves: %v", err)
		}
		if l := d.lags.Load(); l > 0 {
			t.Errorf("Lag was called %d times", l)
		}
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
