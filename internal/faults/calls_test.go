package faults

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamerson/streamerson/rpc"
)

// bodySize is between 0 B and 1 MiB, mostly small: ten thousand of them are some 60 MB.
func bodySize(r *rand.Rand) int {
	switch p := r.Float64(); {
	case p < 0.01:
		return 0
	case p < 0.90:
		return int(math.Exp2(12 * r.Float64())) // 1 B – 4 KiB
	case p < 0.995:
		return r.IntN(32 << 10)
	case p < 0.999:
		return r.IntN(1<<20 + 1)
	default:
		return 1 << 20
	}
}

// TestTenThousandCalls makes 10,000 calls, 256 in flight, with random bodies of 0 B to 1 MiB. Pass: each caller gets its own
// bytes and header back, no call fails, no reply is late, twice or unknown; afterwards nothing is pending, the stream is
// empty and the lanes were trimmed.
func TestTenThousandCalls(t *testing.T) {
	const total, callers = 10_000, 256
	w := newWorld(t)
	for range 2 {
		w.worker(func(c *childConfig) { c.Slots, c.Lease = 128, 3*time.Second })
	}
	client, seen := w.client()
	seed := rand.Uint64()
	t.Log("seed", seed)
	var next, bytesSent atomic.Int64
	var wg sync.WaitGroup
	for g := range callers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(g)))
			var src [32]byte
			for {
				n := next.Add(1)
				if n > total || t.Failed() {
					return
				}
				body := make([]byte, bodySize(r))
				src[0], src[1], src[2] = byte(n), byte(n>>8), byte(g)
				_, _ = rand.NewChaCha8(src).Read(body)
				bytesSent.Add(int64(len(body)))
				tag := strconv.FormatInt(n, 10)
				resp, err := client.Call(t.Context(), &rpc.Request{
					Stream: w.stream, Function: "echo", Body: body, ContentType: "application/octet-stream",
					Header: rpc.Header{{Name: "tag", Value: tag}}, Timeout: 60 * time.Second,
				})
				switch {
				case err != nil:
					t.Errorf("call %d of %d bytes: %v", n, len(body), err)
				case !bytes.Equal(resp.Body, body) || resp.Header.Get("tag") != tag:
					t.Errorf("call %d: got %d bytes tagged %q for %d bytes", n, len(resp.Body), resp.Header.Get("tag"), len(body))
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d MB each way", bytesSent.Load()>>20)
	if n := seen.sum("reply-"); n != 0 {
		t.Errorf("%d replies had no call: %v", n, seen.n)
	}
	w.drained(15 * time.Second)
	lanes := w.lanes()
	if len(lanes) != 3 {
		t.Errorf("lanes %v, want one for each of 3 processes", lanes)
	}
	for _, lane := range lanes {
		eventually(t, 5*time.Second, "a trimmed lane", func() bool {
			n, err := w.admin.XLen(context.Background(), lane).Result()
			m, merr := w.admin.MemoryUsage(context.Background(), lane).Result()
			return err == nil && merr == nil && n == 0 && m < 64<<10
		})
	}
}

// TestConnections: pass when a worker with a client of its own for nested calls holds at most 3 connections while it serves
// 1 stream and while it serves 50, and a client at most 3.
func TestConnections(t *testing.T) {
	t.Parallel()
	for _, streams := range []int{1, 50} {
		t.Run(strconv.Itoa(streams), func(t *testing.T) {
			w := newWorld(t)
			client, _ := w.client()
			mine := w.connections()
			if mine > 3 {
				t.Errorf("the client holds %d connections", mine)
			}
			var names []string
			for i := range streams {
				names = append(names, fmt.Sprintf("%s.%d", w.stream, i))
			}
			w.worker(func(c *childConfig) { c.Streams = names })
			most, done := 0, make(chan struct{})
			go func() {
				defer close(done)
				var wg sync.WaitGroup
				for g := range 8 {
					wg.Go(func() {
						for i := range 50 {
							body := fmt.Appendf(nil, "%d/%d", g, i)
							resp, err := client.Call(t.Context(), &rpc.Request{
								Stream: names[(g+i)%streams], Function: "nested", ContentType: names[(g*i)%streams], Body: body,
							})
							if err != nil || !bytes.Equal(resp.Body, body) {
								t.Errorf("%v, %v", resp, err)
								return
							}
						}
					})
				}
				wg.Wait()
			}()
			for running := true; running; {
				select {
				case <-done:
					running = false
				case <-time.After(5 * time.Millisecond):
				}
				most = max(most, w.connections())
			}
			if n := most - mine; n < 1 || n > 3 {
				t.Errorf("the worker holds up to %d connections, want 1 to 3", n)
			}
			t.Logf("client %d, worker %d", mine, most-mine)
		})
	}
}

// connections counts those that are not this test's own.
func (w *world) connections() int {
	list, err := w.admin.ClientList(context.Background()).Result()
	if err != nil {
		w.t.Error(err)
	}
	n := 0
	for line := range bytes.Lines([]byte(list)) {
		if !bytes.Contains(line, []byte(" name=admin ")) {
			n++
		}
	}
	return n
}
