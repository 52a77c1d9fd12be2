package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/streamerson/streamerson/rpc"
)

func TestMain(m *testing.M) {
	// go-redis looks for a lost server once a second, and sees only then that its pool was closed.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// fakeCaller records what would be published and answers by a function.
type fakeCaller struct {
	mu     sync.Mutex
	calls  []rpc.Request
	watch  []string
	answer func(context.Context, *rpc.Request) (*rpc.Response, error)
	ready  error
}

func (f *fakeCaller) record(req *rpc.Request) {
	c := *req
	c.Header = append(rpc.Header(nil), req.Header...)
	c.Body = append([]byte(nil), req.Body...)
	f.mu.Lock()
	f.calls = append(f.calls, c)
	f.mu.Unlock()
}

func (f *fakeCaller) Call(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
	f.record(req)
	if f.answer == nil {
		return &rpc.Response{ContentType: "text/plain", Body: append([]byte("echo:"), req.Body...)}, nil
	}
	return f.answer(ctx, req)
}

func (f *fakeCaller) Send(ctx context.Context, req *rpc.Request) error {
	_, err := f.Call(ctx, req)
	return err
}

func (f *fakeCaller) Ready() error { return f.ready }

func (f *fakeCaller) Watch(stream string) {
	f.mu.Lock()
	f.watch = append(f.watch, stream)
	f.mu.Unlock()
}

func (f *fakeCaller) published() []rpc.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]rpc.Request(nil), f.calls...)
}

// last returns the one request that must have been published since the last look.
func (f *fakeCaller) last(t *testing.T) rpc.Request {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.calls) != 1 {
		t.Fatalf("%d requests were published, want 1", len(f.calls))
	}
	r := f.calls[0]
	f.calls = nil
	return r
}

func (f *fakeCaller) none(t *testing.T) {
	t.Helper()
	if calls := f.published(); len(calls) > 0 {
		t.Fatalf("published %+v, want nothing", calls)
	}
}

var quiet = slog.New(slog.DiscardHandler)

func testRoutes() []Route {
	return []Route{
		{Method: "GET", Path: "/posts/:id", Stream: "posts"},
		{Method: "GET", Path: "/posts", Stream: "posts"},
		{Method: "POST", Path: "/posts", Stream: "posts", BodyLimit: 1 << 10},
		{Method: "PUT", Path: "/files/{rest...}", Stream: "files", Function: "files.put"},
		{Method: "POST", Path: "/mail", Stream: "mail", OneWay: true, Timeout: 300 * time.Millisecond},
		{Method: "GET", Path: "/open", Stream: "posts", Public: true},
	}
}

func newTestGateway(t testing.TB, caller Caller, change func(*Config)) *Gateway {
	t.Helper()
	cfg := Config{Routes: testRoutes(), Logger: quiet}
	if change != nil {
		change(&cfg)
	}
	g, err := New(caller, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func do(g http.Handler, method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header[header[i]] = append(r.Header[header[i]], header[i+1])
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w
}

// startServer serves g on a free port until the test ends.
func startServer(t testing.TB, g *Gateway, change func(*ServerConfig)) *Server {
	t.Helper()
	cfg := ServerConfig{Addr: "127.0.0.1:0", Logger: quiet}
	if change != nil {
		change(&cfg)
	}
	s, err := NewServer(g, cfg)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

// raw sends bytes as they are and reads what comes until the server closes, at most for five seconds.
func raw(t *testing.T, s *Server, parts ...string) string {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	for i, p := range parts {
		if i > 0 {
			time.Sleep(20 * time.Millisecond)
		}
		if _, err := io.WriteString(c, p); err != nil {
			break // the server has answered and closed already
		}
	}
	b, err := io.ReadAll(c)
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		t.Fatalf("the connection stayed open after %q", b)
	}
	return string(b)
}

func readAnswer(t *testing.T, answer string) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), nil)
	if err != nil {
		t.Fatalf("no response in %q: %v", answer, err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func problemOf(t *testing.T, body []byte) document {
	t.Helper()
	var d document
	if err := json.Unmarshal(body, &d); err != nil {
		t.Fatalf("%q is no problem document: %v", body, err)
	}
	return d
}
