package rpc_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
	"github.com/streamerson/streamerson/transport/mem"
)

// settled is a driver that records what its consumers settle. Each Settle takes a while, so that the next has many.
type settled struct {
	*mem.Driver
	mu    sync.Mutex
	kinds map[wire.Kind]int
	most  int // bytes of a reply
}

type settledConsumer struct {
	transport.Consumer
	d *settled
}

func (d *settled) Join(ctx context.Context, sub transport.Subscription) (transport.Consumer, error) {
	c, err := d.Driver.Join(ctx, sub)
	return &settledConsumer{c, d}, err
}

func (c *settledConsumer) Settle(ctx context.Context, batch []transport.Settlement, errs []error) {
	c.d.mu.Lock()
	for i, s := range batch {
		if s.Reply == nil || i > 0 && s.Reply == batch[i-1].Reply {
			continue
		}
		k, _, _ := wire.Peek(s.Reply.Body)
		c.d.kinds[k]++
		c.d.most = max(c.d.most, len(s.Reply.Body))
	}
	c.d.mu.Unlock()
	time.Sleep(10 * time.Millisecond)
	c.Consumer.Settle(ctx, batch, errs)
}

// packing serves "s" with echo over a driver that records, in a synctest bubble.
func packing(t *testing.T, w *world) *settled {
	t.Helper()
	d := &settled{Driver: w.d, kinds: map[wire.Kind]int{}}
	s, err := rpc.NewServer(d, rpc.ServerConfig{Slots: 256, Streams: []rpc.StreamConfig{{Name: "s"}}, Observer: w.seen})
	if err != nil {
		t.Fatal(err)
	}
	s.Handle("echo", echo)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	return d
}

// callAtOnce makes a call and, while that is being settled, n others with bodies that differ, and checks their replies.
func callAtOnce(w *world, n, size int) {
	var wg sync.WaitGroup
	for i := range 1 + n {
		wg.Go(func() {
			body := append(fmt.Appendf(nil, "%d.", i), make([]byte, size)...)
			resp, err := w.client.Call(context.Background(), &rpc.Request{Stream: "s", Function: "echo", Body: body})
			if err != nil || !bytes.Equal(resp.Body, body) {
				w.t.Errorf("call %d: %v", i, err)
			}
		})
		if i == 0 {
			synctest.Wait()
		}
	}
	wg.Wait()
}

func TestRepliesToOneLaneTravelTogether(t *testing.T) {
	for _, tc := range []struct {
		size, calls, packs, alone int
	}{
		{size: 100, calls: 250, packs: 2, alone: 1}, // the first one's, and 128 and 122
		{size: 4000, calls: 64, packs: 4, alone: 1}, // 16 are less than 64 KiB, 17 more
		{size: 4000, calls: 65, packs: 4, alone: 2},
		{size: 9000, calls: 20, packs: 0, alone: 21}, // too long to be packed
	} {
		t.Run(fmt.Sprintf("%d of %d bytes", tc.calls, tc.size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, rpc.ClientConfig{NoWorkerWait: -1})
				d := packing(t, w)
				callAtOnce(w, tc.calls, tc.size)
				packs, alone := d.kinds[wire.KindReplies], d.kinds[wire.KindReply]
				if packs != tc.packs || alone != tc.alone {
					t.Errorf("%d packs and %d lone replies to %d calls, want %d and %d", packs, alone, tc.calls, tc.packs, tc.alone)
				}
				if packs > 0 && d.most > 64<<10 {
					t.Errorf("a pack of %d bytes", d.most)
				}
				if n := len(w.seen.n); n > 0 {
					t.Errorf("%v", w.seen.n)
				}
			})
		})
	}
}

// A pack that is refused is given up: its replies go alone, whatever the cause, and nobody gets two.
func TestRefusedPackIsSentAlone(t *testing.T) {
	for _, code := range []transport.Code{transport.CodeTooLarge, transport.CodeInvalid, transport.CodeDenied, transport.CodeInternal, transport.CodeUnavailable, transport.CodeFull} {
		t.Run(code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, rpc.ClientConfig{NoWorkerWait: -1})
				d := packing(t, w)
				go func() { // the pack is on its way from 10 to 20 ms
					time.Sleep(15 * time.Millisecond)
					w.broker.FailPublishes("", 1, mem.Fault{Outcome: transport.OutcomeRejected, Code: code})
				}()
				callAtOnce(w, 50, 100)
				if packs, alone := d.kinds[wire.KindReplies], d.kinds[wire.KindReply]; packs != 1 || alone != 51 {
					t.Errorf("%d packs and %d lone replies", packs, alone)
				}
				if n := len(w.seen.n); n > 0 {
					t.Errorf("%v", w.seen.n)
				}
			})
		})
	}
}

// A caller that doesn't say that it reads packs gets none, beside one that does.
func TestOlderCallerGetsNoPacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{NoWorkerWait: -1})
		packing(t, w)
		lane, err := w.d.Tail(t.Context(), transport.TailSpec{Name: "older"})
		if err != nil {
			t.Fatal(err)
		}
		want := map[rpc.ID]bool{}
		for range 50 {
			env := wire.Envelope{Kind: wire.KindRequest, ID: rpc.NewID(), Attempt: 1, Function: "echo", ReplyTo: lane.Address()}
			want[env.ID] = true
			w.inject(wire.Append(nil, &env))
		}
		callAtOnce(w, 50, 100)
		for len(want) > 0 {
			bodies, err := lane.Receive(t.Context(), 100)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range bodies {
				kind, id, ok := wire.Peek(b)
				if !ok || kind != wire.KindReply || !want[id] {
					t.Fatalf("got a %v frame for %v", kind, id)
				}
				delete(want, id)
			}
		}
	})
}

// answering is a worker made by hand: it takes n requests that wait on "s", and answers with what answer makes of their ids.
func answering(t *testing.T, w *world, n int, answer func(ids []rpc.ID) [][]byte) {
	t.Helper()
	c, err := w.d.Join(t.Context(), transport.Subscription{Group: rpc.DefaultGroup})
	if err != nil {
		t.Fatal(err)
	}
	var ids []rpc.ID
	var to string
	for len(ids) < n {
		got, err := c.Receive(t.Context(), n, []transport.Credit{{Stream: "s", Max: n}})
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			var env wire.Envelope
			if err := wire.Decode(&env, got[i].Body); err != nil || !env.Packs {
				t.Fatalf("the request says %+v, %v", env, err)
			}
			ids, to = append(ids, env.ID), env.ReplyTo
			c.Settle(t.Context(), []transport.Settlement{{Delivery: &got[i], Verb: transport.Ack}}, make([]error, 1))
		}
	}
	for _, frame := range answer(ids) {
		var r [1]transport.Result
		w.d.Publish(t.Context(), []transport.Message{{Stream: to, Lane: true, Body: frame}}, r[:])
		if r[0].Err != nil {
			t.Fatal(r[0].Err)
		}
	}
}

func replyTo(id rpc.ID, body string) []byte {
	return wire.Append(nil, &wire.Envelope{Kind: wire.KindReply, ID: id, Attempt: 1, Body: []byte(body)})
}

func packOf(frames ...[]byte) []byte {
	p := wire.AppendPack(nil, wire.KindReplies, wire.ID{})
	for _, f := range frames {
		p = wire.AppendMember(p, f)
	}
	return p
}

// What a worker packs, and what an older one sends alone, answers the calls alike; what is no reply to a call is dropped and
// counted, as outside of a pack, and a pack that can't be read is as well.
func TestMembersOfAPackAreJudgedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{NoWorkerWait: -1})
		if err := w.d.Ensure(t.Context(), []transport.StreamSpec{{Stream: "s", Groups: []string{rpc.DefaultGroup}}}); err != nil {
			t.Fatal(err)
		}
		answers := make(chan string, 3)
		for range 3 {
			go func() {
				resp, err := w.client.Call(context.Background(), &rpc.Request{Stream: "s", Function: "f"})
				if err != nil {
					answers <- err.Error()
					return
				}
				answers <- string(append(resp.Body, '!')) // and does not write into its neighbour
			}()
		}
		answering(t, w, 3, func(ids []rpc.ID) [][]byte {
			cut := packOf(replyTo(ids[0], "cut"), replyTo(ids[1], "cut"))
			return [][]byte{
				cut[:len(cut)-1],
				wire.AppendPack(nil, wire.KindReplies, wire.ID{}), // of nothing
				packOf(
					replyTo(rpc.NewID(), "forged"), []byte("garbage"), nil, packOf(replyTo(ids[0], "nested")),
					wire.Append(nil, &wire.Envelope{Kind: wire.KindRequest, ID: ids[0], Attempt: 1}),
					replyTo(ids[0], "true"), replyTo(ids[0], "twice"), replyTo(ids[1], "true"),
				),
				replyTo(ids[2], "true"),
				packOf(replyTo(ids[2], "twice"), replyTo(ids[1], "twice")),
			}
		})
		for range 3 {
			if a := <-answers; a != "true!" {
				t.Errorf("a call got %q", a)
			}
		}
		synctest.Wait()
		want := map[string]int{"reply bad": 2 + 4, "reply unknown": 1, "reply duplicate": 3}
		if fmt.Sprint(w.seen.n) != fmt.Sprint(want) {
			t.Errorf("dropped: %v, want %v", w.seen.n, want)
		}
	})
}
