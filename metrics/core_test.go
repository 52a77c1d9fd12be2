package metrics

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport/mem"
)

// TestMetricsOfTheCore: what the real client and server report adds up, and nothing stays in flight.
func TestMetricsOfTheCore(t *testing.T) {
	m := New(Config{})
	d := mem.New()
	t.Cleanup(func() { _ = d.Close(context.WithoutCancel(t.Context())) })
	s, err := rpc.NewServer(d, rpc.ServerConfig{Streams: []rpc.StreamConfig{{Name: "s"}}, Observer: m})
	if err != nil {
		t.Fatal(err)
	}
	s.Handle("good", func(context.Context, *rpc.Request) (*rpc.Response, error) {
		time.Sleep(2 * time.Millisecond)
		return nil, nil
	})
	s.Handle("bad", func(context.Context, *rpc.Request) (*rpc.Response, error) {
		return nil, rpc.Errorf(rpc.CodeNotFound, "none")
	})
	ctx, cancel := context.WithCancel(t.Context())
	var server, lag sync.WaitGroup
	server.Go(func() { _ = s.Run(ctx) })
	for s.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
	c, err := rpc.NewClient(t.Context(), d, rpc.ClientConfig{Observer: m})
	if err != nil {
		t.Fatal(err)
	}
	const calls = 50
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() { _, _ = c.Call(t.Context(), &rpc.Request{Stream: "s", Function: "good"}) })
		wg.Go(func() { _, _ = c.Call(t.Context(), &rpc.Request{Stream: "s", Function: "bad"}) })
	}
	wg.Wait()
	lag.Go(func() { m.WatchLag(ctx, d, rpc.DefaultGroup, func() []string { return []string{"s"} }, time.Hour) })
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if _, ok := series(t, m.Registry())["streamerson_stream_consumers{group=workers,stream=s}"]; ok {
			break
		}
	}
	got := series(t, m.Registry())
	expect(t, got, map[string]float64{"streamerson_stream_waiting{group=workers,stream=s}": 0, "streamerson_stream_consumers{group=workers,stream=s}": 1})
	cancel()
	server.Wait()
	lag.Wait()
	if err := c.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	got = series(t, m.Registry())
	const good, bad = "{function=good,stream=s}", "{function=bad,stream=s}"
	expect(t, got, map[string]float64{
		"streamerson_client_calls_total{code=ok,function=good,origin=handler,stream=s}":       calls,
		"streamerson_client_calls_total{code=not_found,function=bad,origin=handler,stream=s}": calls,
		"streamerson_client_calls_in_flight" + good:                                           0,
		"streamerson_client_calls_in_flight" + bad:                                            0,
		"streamerson_client_call_seconds_count" + good:                                        calls,
		"streamerson_client_part_seconds_count{function=good,part=handler,stream=s}":          calls,
		"streamerson_client_part_seconds_count{function=good,part=reply,stream=s}":            calls,
		"streamerson_server_requests_total{code=ok,function=good,stream=s}":                   calls,
		"streamerson_server_requests_total{code=not_found,function=bad,stream=s}":             calls,
		"streamerson_server_requests_in_flight" + good:                                        0,
		"streamerson_server_handler_seconds_count" + bad:                                      calls,
		"streamerson_server_slots_in_use{stream=s}":                                           0,
	})
	// 2 ms of sleep are in the handler's part, on both sides.
	for _, k := range []string{"streamerson_client_part_seconds_sum{function=good,part=handler,stream=s}", "streamerson_server_handler_seconds_sum" + good} {
		if got[k] < calls*0.002 {
			t.Errorf("%s is %v, at least %v were slept", k, got[k], calls*0.002)
		}
	}
	if got["streamerson_batch_size_sum{kind=publish}"] < 2*calls || got["streamerson_batch_size_sum{kind=settle}"] < 2*calls {
		t.Errorf("batches: %v published, %v settled", got["streamerson_batch_size_sum{kind=publish}"], got["streamerson_batch_size_sum{kind=settle}"])
	}
}
