package middleware

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamerson/streamerson/rpc"
)

func TestLog(t *testing.T) {
	var out bytes.Buffer
	l := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo}))
	run := func(h rpc.Handler) map[string]any {
		t.Helper()
		out.Reset()
		func() {
			defer func() { _ = recover() }()
			_, _ = Log(l, slog.LevelInfo)(h)(t.Context(), &rpc.Request{
				ID: rpc.ID{1}, Stream: "posts", Function: "get", Attempt: 2, Queued: time.Second, Body: []byte("secret body"),
				Header: rpc.Header{{Name: rpc.HeaderRequestID, Value: "r1"}, {Name: "cookie", Value: "secret"}},
			})
		}()
		var line map[string]any
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatalf("%v: %s", err, out.String())
		}
		if bytes.Contains(out.Bytes(), []byte("secret")) {
			t.Errorf("the log shows a body or header: %s", out.String())
		}
		return line
	}
	for name, c := range map[string]struct {
		h    rpc.Handler
		want map[string]any
	}{
		"success": {func(context.Context, *rpc.Request) (*rpc.Response, error) { return &rpc.Response{Status: 201}, nil }, map[string]any{"level": "INFO", "code": "ok", "status": 201.0, "attempt": 2.0, "request_id": "r1", "stream": "posts", "function": "get"}},
		"caller's": {func(context.Context, *rpc.Request) (*rpc.Response, error) {
			return nil, rpc.Errorf(rpc.CodeNotFound, "none")
		}, map[string]any{"level": "INFO", "code": "not_found", "error": "rpc: not_found: none"}},
		"ours":  {func(context.Context, *rpc.Request) (*rpc.Response, error) { return nil, errors.New("disk") }, map[string]any{"level": "ERROR", "code": "internal", "error": "disk"}},
		"panic": {func(context.Context, *rpc.Request) (*rpc.Response, error) { panic("boom") }, map[string]any{"level": "ERROR", "code": "internal", "panic": true}},
	} {
		line := run(c.h)
		for k, v := range c.want {
			if line[k] != v {
				t.Errorf("%s: %s is %v, want %v", name, k, line[k], v)
			}
		}
	}
	out.Reset()
	_, _ = Log(l, slog.LevelDebug)(func(context.Context, *rpc.Request) (*rpc.Response, error) { return nil, nil })(t.Context(), &rpc.Request{})
	if out.Len() != 0 {
		t.Errorf("a line below the logger's level: %s", out.String())
	}
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait := func(ctx context.Context, _ *rpc.Request) (*rpc.Response, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		start := time.Now()
		_, err := Timeout(time.Second)(wait)(t.Context(), &rpc.Request{})
		if rpc.CodeOf(err) != rpc.CodeDeadlineExceeded || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		// The cause is told even when the handler names another, or had a caller with a later deadline.
		later, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		_, err = Timeout(time.Second)(func(ctx context.Context, _ *rpc.Request) (*rpc.Response, error) {
			<-ctx.Done()
			return nil, errors.New("query interrupted")
		})(later, &rpc.Request{})
		if e, ok := errors.AsType[*rpc.Error](err); !ok || e.Code != rpc.CodeDeadlineExceeded || e.Origin != rpc.OriginRuntime {
			t.Errorf("%#v", err)
		}
		// The caller's own end, and a result in time, are left as they are.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Timeout(time.Second)(wait)(ctx, &rpc.Request{}); rpc.CodeOf(err) != rpc.CodeCanceled {
			t.Error(err)
		}
		late := func(context.Context, *rpc.Request) (*rpc.Response, error) {
			time.Sleep(2 * time.Second)
			return &rpc.Response{Status: 200}, nil
		}
		if resp, err := Timeout(time.Second)(late)(t.Context(), &rpc.Request{}); err != nil || resp.Status != 200 {
			t.Errorf("%v %v", resp, err)
		}
	})
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most, ran atomic.Int64
		slow := func(context.Context, *rpc.Request) (*rpc.Response, error) {
			most.Store(max(most.Load(), running.Add(1)))
			time.Sleep(time.Second)
			running.Add(-1)
			ran.Add(1)
			return nil, nil
		}
		run := func(h rpc.Handler, ctx context.Context, n int, function string) map[rpc.Code]int {
			var mu sync.Mutex
			var wg sync.WaitGroup
			got := map[rpc.Code]int{}
			for range n {
				wg.Go(func() {
					_, err := h(ctx, &rpc.Request{Stream: "s", Function: function})
					mu.Lock()
					defer mu.Unlock()
					got[rpc.CodeOf(err)]++
				})
			}
			wg.Wait()
			return got
		}
		refuse := Limit(3, 0)(slow)
		if got := run(refuse, t.Context(), 10, "f"); got[rpc.CodeOK] != 3 || got[rpc.CodeResourceExhausted] != 7 || most.Load() != 3 {
			t.Errorf("%v, %d at once", got, most.Load())
		}
		// The places came back, and another function has its own.
		if got := run(refuse, t.Context(), 3, "g"); got[rpc.CodeOK] != 3 {
			t.Error(got)
		}
		// With a wait of 1.5 s the second three run after the first; the rest would come too late.
		most.Store(0)
		if got := run(Limit(3, 1500*time.Millisecond)(slow), t.Context(), 10, "f"); got[rpc.CodeOK] != 6 || got[rpc.CodeResourceExhausted] != 4 || most.Load() != 3 {
			t.Errorf("%v, %d at once", got, most.Load())
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if got := run(Limit(1, time.Minute)(slow), ctx, 3, "f"); got[rpc.CodeOK] != 1 || got[rpc.CodeDeadlineExceeded] != 2 {
			t.Error(got)
		}
		// A panic gives its place back, and names that were used once are forgotten.
		g := &gates{n: 1, open: map[gateKey]*gate{}}
		for i := range 100 {
			k := gateKey{"s", fmt.Sprint(i)}
			gate := g.get(k)
			if err := gate.enter(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			gate.leave()
			g.put(k, gate)
		}
		if len(g.open) != 0 {
			t.Errorf("%d names are kept", len(g.open))
		}
		panics := Limit(1, 0)(func(context.Context, *rpc.Request) (*rpc.Response, error) { panic("boom") })
		for range 2 {
			func() {
				defer func() {
					if recover() == nil {
						t.Error("the handler didn't run")
					}
				}()
				_, _ = panics(t.Context(), &rpc.Request{})
			}()
		}
	})
}

func TestRequireIdentity(t *testing.T) {
	h := RequireIdentity()(func(context.Context, *rpc.Request) (*rpc.Response, error) { return nil, nil })
	for _, header := range []rpc.Header{nil, {{Name: rpc.HeaderIdentity, Value: ""}}, {{Name: "identity", Value: "ada"}}} {
		if _, err := h(t.Context(), &rpc.Request{Header: header}); rpc.CodeOf(err) != rpc.CodeUnauthenticated {
			t.Errorf("%v: %v", header, err)
		}
	}
	if _, err := h(t.Context(), &rpc.Request{Header: rpc.Header{{Name: "X-Streamerson-Identity", Value: "ada"}}}); err != nil {
		t.Error(err)
	}
}

func TestBadArguments(t *testing.T) {
	for name, f := range map[string]func(){"timeout": func() { Timeout(0) }, "limit": func() { Limit(0, 0) }} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s takes nonsense", name)
				}
			}()
			f()
		}()
	}
}
