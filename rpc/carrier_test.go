package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
	"github.com/streamerson/streamerson/transport/mem"
)

// packs is a caller made by hand: it puts packed requests on "s" and reads its lane.
type packs struct {
	*world
	lane transport.Tailer
}

func newPacks(t *testing.T) *packs {
	w := newWorld(t, rpc.ClientConfig{NoWorkerWait: -1})
	lane, err := w.d.Tail(t.Context(), transport.TailSpec{Name: "byhand"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lane.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &packs{w, lane}
}

// member is a request's frame, for a function and a body.
func (p *packs) member(function, body string) []byte {
	return wire.Append(nil, &wire.Envelope{
		Kind: wire.KindRequest, ID: rpc.NewID(), Attempt: 1, Packs: true, ReplyTo: p.lane.Address(), Function: function, Body: []byte(body),
		Deadline: time.Now().Add(time.Minute).UnixMilli(), Budget: 60_000,
	})
}

func (p *packs) pack(members ...[]byte) {
	p.t.Helper()
	b := wire.AppendPack(nil, wire.KindRequests, rpc.NewID())
	for _, m := range members {
		b = wire.AppendMember(b, m)
	}
	p.inject(b)
}

// answers reads the lane until nothing more comes, and returns what the replies say and how many messages they came in.
func (p *packs) answers() (got map[string]int, messages int) {
	p.t.Helper()
	got = map[string]int{}
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	for {
		bodies, err := p.lane.Receive(ctx, 100)
		if errors.Is(err, context.DeadlineExceeded) {
			return got, messages
		}
		if err != nil {
			p.t.Fatal(err)
		}
		for _, b := range bodies {
			messages++
			if kind, _, _ := wire.Peek(b); kind == wire.KindReply {
				got[answerIn(p.t, b)]++
			} else if err := wire.Unpack(b, func(m []byte) { got[answerIn(p.t, m)]++ }); err != nil {
				p.t.Fatal(err)
			}
		}
	}
}

func answerIn(t *testing.T, frame []byte) string {
	t.Helper()
	var env wire.Envelope
	if err := wire.Decode(&env, frame); err != nil || env.Kind != wire.KindReply {
		t.Fatalf("a reply of kind %v: %v", env.Kind, err)
	}
	if env.Code != rpc.CodeOK {
		return env.Code.String()
	}
	return string(env.Body[:min(len(env.Body), 10)])
}

func (p *packs) want(got map[string]int, want map[string]int) {
	p.t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		p.t.Errorf("answers %v, want %v", got, want)
	}
}

// settledAll fails unless nothing waits or is pending.
func (p *packs) settledAll() {
	p.t.Helper()
	l, err := p.d.Lag(p.t.Context(), "s", rpc.DefaultGroup)
	if err != nil || l.Waiting+l.Pending != 0 {
		p.t.Errorf("left: %+v, %v", l, err)
	}
}

func TestPackIsRunInOneSlotAndAnsweredInOneMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacks(t)
		running, most := 0, 0
		var mu sync.Mutex
		p.serve(rpc.ServerConfig{}, map[string]rpc.Handler{"echo": func(ctx context.Context, r *rpc.Request) (*rpc.Response, error) {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(time.Millisecond)
			mu.Lock()
			running--
			mu.Unlock()
			if ctx.Err() != nil || r.Attempt != 1 || r.Stream != "s" {
				t.Errorf("%v, %+v", ctx.Err(), r)
			}
			return echo(ctx, r)
		}})
		p.pack(p.member("echo", "a"), p.member("echo", "b"), p.member("echo", "c"))
		got, messages := p.answers()
		p.want(got, map[string]int{"a": 1, "b": 1, "c": 1})
		if messages != 1 || most != 1 {
			t.Errorf("%d messages; %d at once", messages, most)
		}
		p.settledAll()
		if len(p.seen.n) > 0 {
			t.Errorf("observed %v", p.seen.n)
		}
	})
}

// Each member ends as it would have alone, and holds up no other.
func TestMembersEndAsTheyWouldAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacks(t)
		p.serve(rpc.ServerConfig{}, map[string]rpc.Handler{
			"echo": echo,
			"fail": func(context.Context, *rpc.Request) (*rpc.Response, error) {
				return nil, &rpc.Error{Code: rpc.CodeNotFound}
			},
			"panic": func(context.Context, *rpc.Request) (*rpc.Response, error) { panic("boom") },
			"exit":  func(context.Context, *rpc.Request) (*rpc.Response, error) { runtime.Goexit(); return nil, nil },
			"late": func(context.Context, *rpc.Request) (*rpc.Response, error) {
				time.Sleep(2 * time.Second)
				return nil, nil
			},
			"big": func(context.Context, *rpc.Request) (*rpc.Response, error) {
				return &rpc.Response{Body: bytes.Repeat([]byte("x"), 9000)}, nil
			},
			"half": func(context.Context, *rpc.Request) (*rpc.Response, error) {
				return &rpc.Response{Body: bytes.Repeat([]byte("y"), 8000)}, nil
			},
		})
		expired := p.member("echo", "expired")
		wire.SetBudget(expired, 1000)
		twice := p.member("echo", "twice")
		send := wire.Append(nil, &wire.Envelope{Kind: wire.KindSend, ID: rpc.NewID(), Attempt: 1, Function: "echo"})
		stranger := wire.Append(nil, &wire.Envelope{Kind: wire.KindRequest, ID: rpc.NewID(), Attempt: 1, Function: "echo", ReplyTo: "s", Packs: true})
		nested := wire.AppendMember(wire.AppendPack(nil, wire.KindRequests, rpc.NewID()), p.member("echo", "nested"))
		p.pack(
			p.member("echo", "first"), p.member("late", ""), expired, p.member("fail", ""), p.member("panic", ""), p.member("none", ""), []byte("garbage"), send, stranger, nested,
			p.member("big", ""), p.member("half", ""), p.member("half", ""), p.member("half", ""), p.member("half", ""), p.member("half", ""), p.member("half", ""),
			p.member("half", ""), p.member("half", ""), p.member("half", ""), twice, twice, p.member("exit", ""), p.member("echo", "last"),
		)
		got, _ := p.answers()
		p.want(got, map[string]int{
			"first": 1, "": 1, "not_found": 1, "internal": 2, "unimplemented": 1, "xxxxxxxxxx": 1, "yyyyyyyyyy": 9, "twice": 1, "last": 1,
		})
		p.settledAll()
		want := map[string]int{"expired " + string(rpc.ExpireDeadline): 1, "dead undecodable": 1, "dead bad-reply-to": 1, "dead wrong-kind": 1, "duplicate": 1}
		if fmt.Sprint(p.seen.n) != fmt.Sprint(want) {
			t.Errorf("observed %v, want %v", p.seen.n, want)
		}
		dead, err := p.d.Browse(t.Context(), rpc.DeadStream("s"), "", 10)
		if err != nil || len(dead) != 3 {
			t.Fatalf("%d dead letters, %v", len(dead), err)
		}
		frames := map[string]bool{"garbage": true, string(stranger): true, string(nested): true}
		for _, d := range dead {
			l, err := rpc.ParseDeadLetter(d.Body)
			if err != nil || !frames[string(l.Frame)] {
				t.Errorf("dead letter %q, %v", l.Frame, err)
			}
			delete(frames, string(l.Frame))
		}
	})
}

func TestPackThatCantBeReadIsADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacks(t)
		p.serve(rpc.ServerConfig{}, map[string]rpc.Handler{"echo": echo})
		bad := wire.AppendMember(wire.AppendPack(nil, wire.KindRequests, rpc.NewID()), p.member("echo", "x"))
		bad = bad[:len(bad)-1]
		p.inject(bad)
		if l := p.dead(); l.Header.Get(rpc.DeadHeaderCause) != string(rpc.DeadUndecodable) || !bytes.Equal(l.Frame, bad) {
			t.Errorf("%v, %x", l.Header, l.Frame)
		}
		p.settledAll()
	})
}

// A pack that comes again is taken apart: each member runs by itself, with what is left of its time, and its attempts are its own.
func TestPackThatComesAgainIsTakenApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacks(t)
		if err := p.d.Ensure(t.Context(), []transport.StreamSpec{{Stream: "s", Groups: []string{rpc.DefaultGroup}}}); err != nil {
			t.Fatal(err)
		}
		short := p.member("echo", "short")
		wire.SetBudget(short, 4000)
		p.pack(p.member("left", "a"), short, p.member("left", "b"))
		first, err := p.d.Join(t.Context(), transport.Subscription{Group: rpc.DefaultGroup, Lease: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := first.Receive(t.Context(), 1, []transport.Credit{{Stream: "s", Max: 1}}); err != nil || len(got) != 1 {
			t.Fatal(len(got), err)
		} // and dies with it
		time.Sleep(6 * time.Second)
		d := p.broker.Open(transport.Options{})
		defer func() { _ = d.Close(context.Background()) }()
		s, err := rpc.NewServer(d, rpc.ServerConfig{Streams: []rpc.StreamConfig{{Name: "s"}}, Observer: p.seen, Lease: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		s.Handle("left", func(ctx context.Context, r *rpc.Request) (*rpc.Response, error) {
			end, ok := ctx.Deadline()
			return &rpc.Response{Body: fmt.Appendf(nil, "%s %v %v %d", r.Body, ok, time.Until(end).Round(time.Second) < time.Minute-5*time.Second, r.Attempt)}, nil
		})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		got, _ := p.answers()
		p.want(got, map[string]int{"a true tru": 1, "b true tru": 1})
		if p.seen.get("redelivered") != 1 || p.seen.get("expired "+string(rpc.ExpireDeadline)) != 1 {
			t.Errorf("observed %v", p.seen.n)
		}
		p.settledAll()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A lease that ends under a pack: what has not begun does not run here, and nothing is answered twice.
func TestPackWhoseLeaseIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacks(t)
		ran := map[string]int{}
		var mu sync.Mutex
		slow := func(ctx context.Context, r *rpc.Request) (*rpc.Response, error) {
			mu.Lock()
			ran[string(r.Body)]++
			n := ran[string(r.Body)]
			mu.Unlock()
			if string(r.Body) == "slow" && n == 1 {
				<-ctx.Done() // until the lease is lost
				if !errors.Is(context.Cause(ctx), rpc.ErrLeaseLost) {
					t.Errorf("ended by %v", context.Cause(ctx))
				}
			}
			return &rpc.Response{Body: r.Body}, nil
		}
		p.serve(rpc.ServerConfig{Lease: time.Second, Name: "zombie", Slots: 1}, map[string]rpc.Handler{"f": slow})
		p.pack(p.member("f", "before"), p.member("f", "slow"), p.member("f", "behind"))
		time.Sleep(100 * time.Millisecond)
		d := p.broker.Open(transport.Options{})
		defer func() { _ = d.Close(context.Background()) }()
		s, err := rpc.NewServer(d, rpc.ServerConfig{Streams: []rpc.StreamConfig{{Name: "s"}}, Observer: p.seen, Lease: time.Second, Name: "other"})
		if err != nil {
			t.Fatal(err)
		}
		s.Handle("f", slow)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(10 * time.Millisecond)
		p.broker.ExpireLeases("s")
		got, _ := p.answers()
		p.want(got, map[string]int{"before": 1, "slow": 1, "behind": 1})
		if ran["behind"] != 1 {
			t.Errorf("ran %v", ran)
		}
		p.settledAll()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Whatever the broker says to a pack's replies, each caller gets its own, once.
func TestRefusedRepliesOfAPack(t *testing.T) {
	for _, code := range []transport.Code{transport.CodeTooLarge, transport.CodeInvalid, transport.CodeDenied, transport.CodeInternal, transport.CodeUnavailable, transport.CodeFull} {
		t.Run(code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPacks(t)
				p.serve(rpc.ServerConfig{}, map[string]rpc.Handler{"echo": echo})
				p.broker.FailPublishes(p.lane.Address(), 1, mem.Fault{Outcome: transport.OutcomeRejected, Code: code})
				p.pack(p.member("echo", "a"), p.member("echo", "b"), p.member("echo", "c"))
				got, _ := p.answers()
				p.want(got, map[string]int{"a": 1, "b": 1, "c": 1})
				p.settledAll()
			})
		})
	}
}

func TestPackWhoseCallerIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacks(t)
		p.serve(rpc.ServerConfig{}, map[string]rpc.Handler{"echo": echo, "big": func(context.Context, *rpc.Request) (*rpc.Response, error) {
			return &rpc.Response{Body: make([]byte, 9000)}, nil
		}})
		members := [][]byte{p.member("echo", "a"), p.member("big", ""), p.member("echo", "b")}
		p.broker.DropLane(p.lane.Address())
		p.pack(members...)
		time.Sleep(5 * time.Second)
		p.settledAll()
	})
}

// A caller that leaves ends its own request in a pack, running or not, and no other.
func TestCancelledMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacks(t)
		ran := map[string]bool{}
		p.serve(rpc.ServerConfig{}, map[string]rpc.Handler{"f": func(ctx context.Context, r *rpc.Request) (*rpc.Response, error) {
			ran[string(r.Body)] = true
			if string(r.Body) == "wait" {
				<-ctx.Done()
				if !errors.Is(context.Cause(ctx), rpc.ErrCallerGone) {
					t.Errorf("ended by %v", context.Cause(ctx))
				}
			}
			return &rpc.Response{Body: r.Body}, nil
		}})
		wait, next := p.member("f", "wait"), p.member("f", "next")
		p.pack(p.member("f", "a"), wait, next, p.member("f", "b"))
		time.Sleep(time.Second)
		for _, m := range [][]byte{next, wait} {
			_, id, _ := wire.Peek(m)
			var r [1]transport.Result
			p.d.Publish(t.Context(), []transport.Message{{
				Stream: transport.SharedLane("cancel"), Lane: true, Body: wire.Append(nil, &wire.Envelope{Kind: wire.KindCancel, ID: id, Attempt: 1}),
			}}, r[:])
			if r[0].Err != nil {
				t.Fatal(r[0].Err)
			}
		}
		got, _ := p.answers()
		p.want(got, map[string]int{"a": 1, "b": 1})
		if ran["next"] {
			t.Error("a request whose caller had left ran")
		}
		p.settledAll()
	})
}

// A drain that runs out of time gives what a pack has not done to other workers, and answers what it has.
func TestDrainInAPack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacks(t)
		f := func(ctx context.Context, r *rpc.Request) (*rpc.Response, error) {
			if string(r.Body) == "slow" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return &rpc.Response{Body: r.Body}, nil
		}
		stop := p.serve(rpc.ServerConfig{DrainTimeout: time.Second}, map[string]rpc.Handler{"f": f})
		p.pack(p.member("f", "a"), p.member("f", "slow"), p.member("f", "b"))
		time.Sleep(100 * time.Millisecond)
		stop()
		l, err := p.d.Lag(t.Context(), "s", rpc.DefaultGroup)
		if err != nil || l.Waiting != 2 || l.Pending != 0 {
			t.Errorf("after the drain: %+v, %v; want the two that were not done, each by itself", l, err)
		}
		p.serve(rpc.ServerConfig{}, map[string]rpc.Handler{"f": func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
			return &rpc.Response{Body: r.Body}, nil
		}})
		got, _ := p.answers()
		p.want(got, map[string]int{"a": 1, "slow": 1, "b": 1})
		p.settledAll()
	})
}

// A pack that comes back to the worker that runs it goes on there, under the newer delivery.
func TestPackThatComesBackToItsWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacks(t)
		ran := 0
		p.serve(rpc.ServerConfig{Lease: time.Second}, map[string]rpc.Handler{"f": func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
			ran++
			time.Sleep(2 * time.Second)
			return &rpc.Response{Body: r.Body}, nil
		}})
		p.pack(p.member("f", "a"), p.member("f", "b"))
		time.Sleep(time.Second)
		p.broker.ExpireLeases("s")
		got, _ := p.answers()
		p.want(got, map[string]int{"a": 1, "b": 1})
		if ran != 2 || p.seen.get("duplicate") != 1 {
			t.Errorf("ran %d, observed %v", ran, p.seen.n)
		}
		p.settledAll()
	})
}
