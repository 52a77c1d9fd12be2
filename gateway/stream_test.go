package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/internal/brokers/brokerstest"
	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
	"github.com/streamerson/streamerson/transport/mem"
	"github.com/streamerson/streamerson/transport/redis"
)

// stack is a whole path: HTTP server, gateway, client, broker, worker.
type stack struct {
	client *rpc.Client
	server *Server
	obs    *recorder
	http   *http.Client
	base   string
}

// drivers opens each transport twice: one for the gateway, one for the worker.
func drivers(t *testing.T) map[string]func(*testing.T) (transport.Driver, transport.Driver) {
	return map[string]func(*testing.T) (transport.Driver, transport.Driver){
		"mem": func(t *testing.T) (transport.Driver, transport.Driver) {
			b := mem.NewBroker(mem.Config{})
			return b.Open(transport.Options{}), b.Open(transport.Options{})
		},
		"redis": func(t *testing.T) (transport.Driver, transport.Driver) {
			r := brokerstest.Redis(t, brokers.RedisConfig{})
			return openRedis(t, r.URL), openRedis(t, r.URL)
		},
	}
}

func openRedis(t *testing.T, url string) transport.Driver {
	t.Helper()
	var reg transport.Registry
	for _, s := range redis.Schemes {
		reg.Register(s, redis.Open)
	}
	d, err := reg.Open(t.Context(), url, transport.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// startStack serves routes; with no handlers there is no worker.
func startStack(t *testing.T, mine, workers transport.Driver, routes []Route, handlers map[string]rpc.Handler) *stack {
	t.Helper()
	st := &stack{obs: &recorder{}}
	var err error
	if st.client, err = rpc.NewClient(t.Context(), mine, rpc.ClientConfig{Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	g, err := New(st.client, Config{Routes: routes, Logger: quiet, Observer: st.obs, ServerTiming: true})
	if err != nil {
		t.Fatal(err)
	}
	closing := func(what string, f func(context.Context) error) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := f(ctx); err != nil {
			t.Logf("closing the %s: %v", what, err)
		}
	}
	t.Cleanup(func() {
		closing("client", st.client.Close)
		closing("gateway's driver", mine.Close)
		closing("worker's driver", workers.Close)
	})
	if handlers != nil {
		srv, err := rpc.NewServer(workers, rpc.ServerConfig{Slots: 32, Streams: []rpc.StreamConfig{{Name: "s", Weight: 1}}, DrainTimeout: time.Second, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		for name, h := range handlers {
			srv.Handle(name, h)
		}
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- srv.Run(ctx) }()
		t.Cleanup(func() {
			stop()
			if err := <-ended; err != nil {
				t.Logf("worker: %v", err)
			}
		})
		for end := time.Now().Add(5 * time.Second); srv.Ready() != nil; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(srv.Ready())
			}
		}
	}
	st.server = startServer(t, g, nil)
	tr := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(tr.CloseIdleConnections)
	st.http, st.base = &http.Client{Transport: tr}, "http://"+st.server.Addr().String()
	return st
}

func (st *stack) do(t *testing.T, method, path string, body io.Reader) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, st.base+path, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := st.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func streamRoutes() []Route {
	return []Route{
		{Method: "PUT", Path: "/echo/{id}", Stream: "s"},
		{Method: "GET", Path: "/slow", Stream: "s", Timeout: 300 * time.Millisecond},
		{Method: "GET", Path: "/wait", Stream: "s"},
		{Method: "GET", Path: "/panic", Stream: "s"},
		{Method: "GET", Path: "/none", Stream: "s"},
		{Method: "GET", Path: "/fail", Stream: "s"},
		{Method: "POST", Path: "/mail", Stream: "s", OneWay: true, Timeout: time.Second},
	}
}

func TestWholePath(t *testing.T) {
	for name, open := range drivers(t) {
		t.Run(name, func(t *testing.T) {
			mine, workers := open(t)
			cause, mail := make(chan error, 1), make(chan string, 1)
			waiting := make(chan struct{}, 1)
			st := startStack(t, mine, workers, streamRoutes(), map[string]rpc.Handler{
				"PUT /echo/{id}": func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
					return &rpc.Response{Status: 201, ContentType: r.ContentType, Body: bytes.Clone(r.Body), Header: rpc.Header{{Name: "X-Id", Value: r.Header.Get(rpc.HeaderParam + "id")}}}, nil
				},
				"GET /slow": func(ctx context.Context, _ *rpc.Request) (*rpc.Response, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				},
				"GET /wait": func(ctx context.Context, _ *rpc.Request) (*rpc.Response, error) {
					waiting <- struct{}{}
					<-ctx.Done()
					cause <- context.Cause(ctx)
					return nil, ctx.Err()
				},
				"GET /panic": func(context.Context, *rpc.Request) (*rpc.Response, error) { panic("secret") },
				"GET /fail": func(context.Context, *rpc.Request) (*rpc.Response, error) {
					return nil, rpc.Errorf(rpc.CodeAlreadyExists, "there is one")
				},
				"POST /mail": func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
					mail <- string(r.Body)
					return nil, nil
				},
			})

			var wg sync.WaitGroup
			for c := range 16 {
				wg.Go(func() {
					rnd := rand.NewChaCha8([32]byte{byte(c)})
					for i := range 20 {
						body := make([]byte, int(rnd.Uint64()%(1<<(rnd.Uint64()%21)))) // 0 B – 1 MiB
						_, _ = rnd.Read(body)
						resp, got := st.do(t, "PUT", fmt.Sprintf("/echo/%d-%d", c, i), bytes.NewReader(body))
						if resp.StatusCode != 201 || resp.Header.Get("X-Id") != fmt.Sprintf("%d-%d", c, i) || got != string(body) || !strings.Contains(resp.Header.Get("Server-Timing"), "handler;dur=") {
							t.Errorf("call %d-%d: %d %v, %d bytes of %d", c, i, resp.StatusCode, resp.Header, len(got), len(body))
						}
					}
				})
			}
			wg.Wait()

			// The best of three: the machine may be busy with something else for a while.
			best := time.Hour
			for range 3 {
				start := time.Now()
				resp, text := st.do(t, "GET", "/slow", nil)
				took := time.Since(start)
				if best = min(best, took); resp.StatusCode != 504 || took < 290*time.Millisecond { // deadlines travel in whole milliseconds
					t.Errorf("deadline: %d after %v: %s", resp.StatusCode, took, text)
				}
			}
			if best > 550*time.Millisecond {
				t.Errorf("a deadline of 300ms was told after %v", best)
			}
			if resp, text := st.do(t, "GET", "/panic", nil); resp.StatusCode != 500 || strings.Contains(text, "secret") {
				t.Errorf("panic: %d %s", resp.StatusCode, text)
			}
			if resp, text := st.do(t, "GET", "/none", nil); resp.StatusCode != 501 {
				t.Errorf("no function: %d %s", resp.StatusCode, text)
			}
			if resp, text := st.do(t, "GET", "/fail", nil); resp.StatusCode != 409 || problemOf(t, []byte(text)).Message != "there is one" {
				t.Errorf("the handler's error: %d %s", resp.StatusCode, text)
			}
			if resp, text := st.do(t, "POST", "/mail", strings.NewReader("hi")); resp.StatusCode != 202 || text != "" {
				t.Errorf("one-way: %d %s", resp.StatusCode, text)
			}
			select {
			case got := <-mail:
				if got != "hi" {
					t.Errorf("the message says %q", got)
				}
			case <-time.After(5 * time.Second):
				t.Error("the one-way message was not handled")
			}

			ctx, leave := context.WithCancel(t.Context())
			go func() { <-waiting; leave() }()
			req, _ := http.NewRequestWithContext(ctx, "GET", st.base+"/wait", nil)
			if _, err := st.http.Do(req); !errors.Is(err, context.Canceled) {
				t.Errorf("the client that left got %v", err)
			}
			select {
			case err := <-cause:
				if !errors.Is(err, rpc.ErrCallerGone) {
					t.Errorf("the handler was told %v", err)
				}
			case <-time.After(5 * time.Second):
				t.Error("the worker was not told that its client left")
			}
		})
	}
}

func TestNoWorker(t *testing.T) {
	t.Parallel()
	for name, open := range drivers(t) {
		t.Run(name, func(t *testing.T) {
			mine, workers := open(t)
			st := startStack(t, mine, workers, streamRoutes(), nil)
			best := time.Hour
			for range 3 {
				start := time.Now()
				resp, text := st.do(t, "GET", "/wait", nil)
				best = min(best, time.Since(start))
				if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" {
					t.Errorf("%d %v: %s", resp.StatusCode, resp.Header, text)
				}
			}
			if best > time.Second {
				t.Errorf("told after %v that no worker is there", best)
			}
		})
	}
}

func TestBrokerGone(t *testing.T) {
	t.Parallel()
	r := brokerstest.Redis(t, brokers.RedisConfig{Own: true})
	st := startStack(t, openRedis(t, r.URL), openRedis(t, r.URL), streamRoutes(), map[string]rpc.Handler{
		"PUT /echo/{id}": func(context.Context, *rpc.Request) (*rpc.Response, error) { return nil, nil },
	})
	if resp, text := st.do(t, "PUT", "/echo/1", nil); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, text)
	}
	r.Stop()
	// A request whose publishing was cut off may be stored: that one waits for its reply until its deadline.
	if resp, text := st.do(t, "GET", "/slow", nil); resp.StatusCode != 503 && resp.StatusCode != 504 {
		t.Errorf("while the broker goes: %d %s", resp.StatusCode, text)
	}
	for _, path := range []string{"/echo/1", "/mail"} {
		method := map[bool]string{true: "POST", false: "PUT"}[path == "/mail"]
		best := time.Hour
		for range 3 {
			start := time.Now()
			resp, text := st.do(t, method, path, strings.NewReader("x"))
			best = min(best, time.Since(start))
			if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" {
				t.Errorf("%s: %d %v: %s", path, resp.StatusCode, resp.Header, text)
			}
		}
		if best > time.Second {
			t.Errorf("%s: told after %v that the broker is gone", path, best)
		}
	}
}
