package rpc_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
	"github.com/streamerson/streamerson/transport/mem"
)

// published is a driver that records what a client publishes to streams: of each message how many requests are in it. Each
// Publish takes a while, so that the next has many.
type published struct {
	*mem.Driver
	mu    sync.Mutex
	sizes []int
	most  int // bytes
	ids   map[string]bool
	dedup bool
	// retries: a request may come again.
	retries bool
}

func (d *published) Capabilities() transport.Capabilities {
	c := d.Driver.Capabilities()
	c.Dedup = d.dedup
	return c
}

func (d *published) Publish(ctx context.Context, msgs []transport.Message, results []transport.Result) {
	d.mu.Lock()
	for _, m := range msgs {
		if m.Lane {
			continue
		}
		n := 0
		if wire.Unpack(m.Body, func([]byte) { n++ }) != nil {
			n = 1
		}
		d.sizes = append(d.sizes, n)
		d.most = max(d.most, len(m.Body))
		if _, id, _ := wire.Peek(m.Body); m.DedupID != "" {
			if m.DedupID != id.String() || d.ids[m.DedupID] && !d.retries {
				panic("a message's id is not its own")
			}
			d.ids[m.DedupID] = true
		}
	}
	d.mu.Unlock()
	time.Sleep(10 * time.Millisecond)
	d.Driver.Publish(ctx, msgs, results)
}

// sent returns what was published since the last time, the largest first.
func (d *published) sent() []int {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.sizes
	d.sizes = nil
	slices.SortFunc(s, func(a, b int) int { return b - a })
	return s
}

// caller is a client on a driver that records, and a worker whose handlers take a while.
func caller(t *testing.T, dedup bool) (d *published, call func(n int, change func(*rpc.Request)), takes *time.Duration) {
	w := newWorld(t, rpc.ClientConfig{NoWorkerWait: -1})
	d = &published{Driver: w.broker.Open(transport.Options{}), ids: map[string]bool{}, dedup: dedup}
	c, err := rpc.NewClient(t.Context(), d, rpc.ClientConfig{NoWorkerWait: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	takes = new(time.Duration)
	w.serve(rpc.ServerConfig{Slots: 512}, map[string]rpc.Handler{"f": func(ctx context.Context, r *rpc.Request) (*rpc.Response, error) {
		time.Sleep(*takes)
		return echo(ctx, r)
	}})
	return d, func(n int, change func(*rpc.Request)) {
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				r := &rpc.Request{Stream: "s", Function: "f", Body: fmt.Appendf(nil, "%d.", i), Pack: true}
				change(r)
				want := string(r.Body)
				resp, err := c.Call(context.Background(), r)
				if err != nil || string(resp.Body) != want {
					t.Errorf("call %d: %v", i, err)
				}
			})
			if i == 0 {
				synctest.Wait() // it is published alone; the others while that is under way
			}
		}
		all.Wait()
	}, takes
}

func as(*rpc.Request) {}

func TestRequestsShareMessagesWhileHandlersAreQuick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, call, takes := caller(t, false)
		call(101, as)
		if s := d.sent(); s[0] != 1 {
			t.Errorf("before anything is known: %v", s)
		}
		call(500, as) // from now on it is
		d.sent()
		call(101, as)
		if s := d.sent(); fmt.Sprint(s) != "[32 32 32 4 1]" {
			t.Errorf("packs of %v", s)
		}
		call(33, func(r *rpc.Request) { r.Body = []byte(strings.Repeat("x", 8000)) })
		if s := d.sent(); fmt.Sprint(s) != "[8 8 8 8 1]" || d.most > 64<<10 {
			t.Errorf("of 8,000 bytes: %v, at most %d bytes", s, d.most)
		}
		call(5, func(r *rpc.Request) { r.Body = []byte(strings.Repeat("x", 9000)) })
		if s := d.sent(); s[0] != 1 {
			t.Errorf("of 9,000 bytes: %v", s)
		}
		call(5, func(r *rpc.Request) { r.Key = "k" })
		if s := d.sent(); s[0] != 1 {
			t.Errorf("with a key: %v", s)
		}
		call(5, func(r *rpc.Request) { r.Pack = false })
		if s := d.sent(); s[0] != 1 {
			t.Errorf("of a caller that does not allow it: %v", s)
		}
		*takes = 100 * time.Microsecond
		call(500, as)
		call(500, as)
		d.sent()
		call(101, as)
		if s := d.sent(); s[0] < 9 || s[0] > 10 {
			t.Errorf("of 100 µs each: %v", s)
		}
		*takes = 10 * time.Millisecond
		call(50, as)
		d.sent()
		call(101, as)
		if s := d.sent(); s[0] != 1 {
			t.Errorf("of 10 ms each: %v", s)
		}
	})
}

// A few long handlers among many short ones are reason enough to stay alone.
func TestMixedHandlersStayAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, call, takes := caller(t, false)
		for range 30 {
			*takes = 0
			call(90, as)
			*takes = 20 * time.Millisecond
			call(10, as)
		}
		*takes = 0
		d.sent()
		call(101, as)
		if s := d.sent(); s[0] != 1 {
			t.Errorf("%v", s)
		}
	})
}

// A stream whose handlers hang says nothing of their time: its calls' deadlines do.
func TestDeadlinesStopPacking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{NoWorkerWait: -1})
		d := &published{Driver: w.d, ids: map[string]bool{}}
		c, err := rpc.NewClient(t.Context(), d, rpc.ClientConfig{NoWorkerWait: -1})
		if err != nil {
			t.Fatal(err)
		}
		hang := false
		w.serve(rpc.ServerConfig{Slots: 512}, map[string]rpc.Handler{"f": func(ctx context.Context, _ *rpc.Request) (*rpc.Response, error) {
			if hang {
				<-ctx.Done()
			}
			return nil, nil
		}})
		calls := func(n int) {
			var all sync.WaitGroup
			for range n {
				all.Go(func() {
					_, _ = c.Call(context.Background(), &rpc.Request{Stream: "s", Function: "f", Pack: true, Timeout: time.Second})
				})
			}
			all.Wait()
		}
		calls(500)
		d.sent()
		calls(100)
		if s := d.sent(); s[0] < 32 {
			t.Errorf("quick ones: %v", s)
		}
		hang = true
		calls(100)
		d.sent()
		calls(100)
		if s := d.sent(); s[0] != 1 {
			t.Errorf("after deadlines: %v", s)
		}
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// A pack bears an id of its own, for brokers that drop what they have seen, and the broker's refusal is each member's.
func TestPackIsOneMessageToTheBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, call, _ := caller(t, true)
		call(500, as)
		call(101, as)
		d.sent()
		if len(d.ids) == 0 {
			t.Fatal("no ids")
		}
		d.retries = true
		// What was certainly not stored is published again by each of its callers.
		d.Broker().FailPublishes("s", 3, mem.Fault{Outcome: transport.OutcomeRejected, Code: transport.CodeUnavailable})
		call(5, as)
		if s := d.sent(); len(s) < 3 {
			t.Errorf("published %v", s)
		}
	})
}
