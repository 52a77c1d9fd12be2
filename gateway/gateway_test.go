package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

func TestRequestBecomesMessage(t *testing.T) {
	f := &fakeCaller{}
	g := newTestGateway(t, f, nil)
	w := do(g, "GET", "/posts/a%2Fb?page=1&x=%20", "", "Accept", "text/html", "Cookie", "a=1", "Content-Type", "text/x", "Idempotency-Key", "k1",
		"X-Request-Id", "req-1.A_b", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Tracestate", "a=b",
		"Connection", "close, X-Private", "X-Private", "1", "Te", "trailers", "Upgrade", "h3", "Keep-Alive", "5", "Proxy-Authorization", "x", "Accept", "image/png")
	if w.Code != 200 || w.Body.String() != "echo:" || w.Header().Get("X-Request-Id") != "req-1.A_b" || w.Header().Get("Content-Type") != "text/plain" {
		t.Fatalf("answered %d %v %q", w.Code, w.Header(), w.Body)
	}
	req := f.last(t)
	if req.Stream != "posts" || req.Function != "GET /posts/{id}" || req.Timeout != rpc.DefaultTimeout || req.ContentType != "text/x" || req.IdempotencyKey != "k1" ||
		req.Trace != "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" || req.TraceState != "a=b" || req.ID.IsZero() {
		t.Errorf("published %+v", req)
	}
	want := rpc.Header{
		{Name: rpc.HeaderMethod, Value: "GET"}, {Name: rpc.HeaderPath, Value: "/posts/a%2Fb"}, {Name: rpc.HeaderRequestID, Value: "req-1.A_b"},
		{Name: rpc.HeaderQuery, Value: "page=1&x=%20"}, {Name: rpc.HeaderParam + "id", Value: "a/b"}, {Name: "X-Request-Id", Value: "req-1.A_b"},
		{Name: "Host", Value: "example.com"}, {Name: "X-Forwarded-For", Value: "192.0.2.1"}, {Name: "X-Forwarded-Proto", Value: "http"},
		{Name: "Accept", Value: "text/html"}, {Name: "Accept", Value: "image/png"}, {Name: "Cookie", Value: "a=1"},
	}
	sort := func(a, b rpc.Field) int { return strings.Compare(a.Name, b.Name) }
	slices.SortStableFunc(want, sort)
	slices.SortStableFunc(req.Header, sort)
	if !slices.Equal(req.Header, want) {
		t.Errorf("header\n%v\nwant\n%v", req.Header, want)
	}
}

func TestRouting(t *testing.T) {
	f := &fakeCaller{}
	g := newTestGateway(t, f, nil)
	for _, c := range []struct {
		method, target string
		status         int
		function       string
		allow          string
	}{
		{"GET", "/posts/7", 200, "GET /posts/{id}", ""},
		{"HEAD", "/posts/7", 200, "GET /posts/{id}", ""},
		{"POST", "/posts", 200, "POST /posts", ""},
		{"PUT", "/files/a/b", 200, "files.put", ""},
		{"POST", "/mail", 202, "POST /mail", ""},
		{"GET", "/nope", 404, "", ""},
		{"GET", "/posts/7/x", 404, "", ""},
		{"DELETE", "/posts", 405, "", "GET, HEAD, POST"},
		{"OPTIONS", "/posts", 405, "", "GET, HEAD, POST"},
		{"TRACE", "/posts", 405, "", ""},
		{"CONNECT", "/posts", 405, "", ""},
		{"GET", "//posts", 307, "", ""},
	} {
		t.Run(c.method+c.target, func(t *testing.T) {
			w := do(g, c.method, c.target, "")
			if w.Code != c.status || w.Header().Get("Allow") != c.allow || len(w.Header().Get("X-Request-Id")) != 32 {
				t.Fatalf("answered %d, %v", w.Code, w.Header())
			}
			if c.function == "" {
				f.none(t)
				if c.status >= 400 {
					if d := problemOf(t, w.Body.Bytes()); d.Status != c.status || d.RequestID != w.Header().Get("X-Request-Id") || d.Message == "" {
						t.Errorf("problem %+v", d)
					}
				}
				return
			}
			if got := f.last(t); got.Function != c.function || got.Header.Get(rpc.HeaderMethod) != c.method || got.OneWay != (c.status == 202) {
				t.Errorf("published %+v", got)
			}
		})
	}
}

func TestRouteErrors(t *testing.T) {
	ok := Route{Method: "GET", Path: "/a", Stream: "s"}
	f := &fakeCaller{}
	g := newTestGateway(t, f, func(c *Config) { c.Routes = []Route{ok} })
	for _, c := range []struct {
		second Route
		want   string
	}{
		{Route{Method: "GET", Path: "/a", Stream: "t"}, `routes[1].path: "GET /a" conflicts with "GET /a" of routes[0]`},
		{Route{Method: "GET", Path: "/{x}", Stream: "has space"}, `routes[1].stream:`},
		{Route{Method: "GET", Path: "/b"}, `routes[1].stream:`},
		{Route{Method: "get", Path: "/b", Stream: "s"}, `routes[1].method: "get"`},
		{Route{Method: "CONNECT", Path: "/b", Stream: "s"}, `routes[1].method: CONNECT`},
		{Route{Method: "GET", Path: "b", Stream: "s"}, `routes[1].path: "b" does not begin with /`},
		{Route{Method: "GET", Path: "/{x", Stream: "s"}, `routes[1].path: "GET /{x" is not a valid pattern`},
		{Route{Method: "GET", Path: "/{x...}/y", Stream: "s"}, `routes[1].path:`},
		{Route{Method: "GET", Path: "/:id/{ID}", Stream: "s"}, `routes[1].path: the parameter "ID" comes twice`},
		{Route{Method: "GET", Path: "/b", Stream: "s", Timeout: -1}, `routes[1].timeout:`},
		{Route{Method: "GET", Path: "/b", Stream: "s", BodyLimit: -1}, `routes[1].body_limit:`},
		{Route{Method: "GET", Path: "/b", Stream: "s", MaxInFlight: -1}, `routes[1].in_flight:`},
	} {
		first := Route{Method: "GET", Path: "/z", Stream: "s"}
		if c.second.Path == "/a" {
			first = ok
		}
		err := g.SetRoutes([]Route{first, c.second})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want %q", c.second, err, c.want)
		}
	}
	if got := g.Routes(); len(got) != 1 || got[0] != ok {
		t.Errorf("after bad reloads the routes are %+v", got)
	}
	if w := do(g, "GET", "/a", ""); w.Code != 200 {
		t.Errorf("after bad reloads: %d", w.Code)
	}
	if w := do(g, "GET", "/z", ""); w.Code != 404 {
		t.Errorf("a route of a bad table is served: %d", w.Code)
	}
}

func TestReloadIsAtomicAndKeepsCounts(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	f := &fakeCaller{answer: func(_ context.Context, req *rpc.Request) (*rpc.Response, error) {
		if req.Function == "slow" {
			entered <- struct{}{}
			<-leave
		}
		return nil, nil
	}}
	slow := Route{Method: "GET", Path: "/slow", Stream: "s", Function: "slow", MaxInFlight: 1}
	g := newTestGateway(t, f, func(c *Config) { c.Routes = []Route{slow} })
	var wg sync.WaitGroup
	wg.Go(func() {
		if w := do(g, "GET", "/slow", ""); w.Code != 200 {
			t.Errorf("the request under way got %d", w.Code)
		}
	})
	<-entered
	if err := g.SetRoutes([]Route{{Method: "GET", Path: "/new", Stream: "n"}, slow}); err != nil {
		t.Fatal(err)
	}
	if w := do(g, "GET", "/slow", ""); w.Code != 503 || w.Header().Get("Retry-After") != "1" {
		t.Errorf("the limit forgot what was under way: %d %v", w.Code, w.Header())
	}
	if w := do(g, "GET", "/new", ""); w.Code != 200 {
		t.Errorf("new route: %d", w.Code)
	}
	close(leave)
	wg.Wait()
	if g.InFlight() != 0 {
		t.Errorf("%d slots are taken after all ended", g.InFlight())
	}
	go func() { <-entered }()
	if w := do(g, "GET", "/slow", ""); w.Code != 200 {
		t.Errorf("the route's slot was not given back: %d", w.Code)
	}
	if want := []string{"s", "n", "s"}; !slices.Equal(f.watch, want) {
		t.Errorf("watched %v, want %v", f.watch, want)
	}
}

func TestGlobalLimit(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	f := &fakeCaller{answer: func(context.Context, *rpc.Request) (*rpc.Response, error) {
		entered <- struct{}{}
		<-leave
		return nil, nil
	}}
	g := newTestGateway(t, f, func(c *Config) { c.MaxInFlight = 2 })
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { do(g, "GET", "/posts", "") })
		<-entered
	}
	if w := do(g, "GET", "/posts/1", ""); w.Code != 503 || w.Header().Get("Retry-After") != "1" {
		t.Errorf("beyond the limit: %d %v", w.Code, w.Header())
	}
	close(leave)
	wg.Wait()
	go func() { <-entered }()
	if w := do(g, "GET", "/posts/1", ""); w.Code != 200 {
		t.Errorf("after the limit: %d", w.Code)
	}
}

func TestErrorStatuses(t *testing.T) {
	secret := errors.New("redis at 10.0.0.9 said no")
	for _, c := range []struct {
		err     error
		status  int
		code    string
		retry   string
		message string // must be in it
	}{
		{rpc.Errorf(rpc.CodeNotFound, "no post 7"), 404, "not_found", "", "no post 7"},
		{rpc.Errorf(rpc.CodeInternal, "disk 3 failed"), 500, "internal", "", "disk 3 failed"},
		{rpc.Errorf(rpc.CodeResourceExhausted, "quota"), 429, "resource_exhausted", "1", "quota"},
		{&rpc.Error{Code: rpc.CodeUnavailable, Origin: rpc.OriginHandler, Message: "busy", RetryAfter: 1500 * time.Millisecond}, 503, "unavailable", "2", "busy"},
		{rpc.Errorf(rpc.CodeCanceled, "handler gave up"), 499, "canceled", "", "gave up"},
		{&rpc.Error{Code: rpc.CodeInternal, Origin: rpc.OriginRuntime, Message: "panic: secret"}, 500, "internal", "", "the request failed"},
		{&rpc.Error{Code: rpc.CodeUnimplemented, Origin: rpc.OriginRuntime, Message: "no function secret"}, 501, "unimplemented", "", "no such function"},
		{&rpc.Error{Code: rpc.CodeUnavailable, Err: secret, Published: transport.OutcomeRejected}, 503, "unavailable", "1", "try again"},
		{&rpc.Error{Code: rpc.CodeUnavailable, Err: secret, Published: transport.OutcomeUnknown}, 503, "unavailable", "1", "may have been taken"},
		{&rpc.Error{Code: rpc.CodeDeadlineExceeded, Err: context.DeadlineExceeded, Published: transport.OutcomeAccepted}, 504, "deadline_exceeded", "", "may still be carried out"},
		{&rpc.Error{Code: rpc.CodeResourceExhausted}, 503, "resource_exhausted", "1", "too many"},
		{&rpc.Error{Code: rpc.CodeCanceled, Err: context.Canceled}, 503, "canceled", "1", "cancelled"},
		{&rpc.Error{Code: rpc.CodeInvalidArgument, Err: &transport.Error{Code: transport.CodeTooLarge}}, 413, "invalid_argument", "", "as it is"},
		{fmt.Errorf("odd: %w", secret), 500, "unknown", "", "the request failed"},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			f := &fakeCaller{answer: func(context.Context, *rpc.Request) (*rpc.Response, error) { return nil, c.err }}
			w := do(newTestGateway(t, f, nil), "GET", "/posts/1", "")
			d := problemOf(t, w.Body.Bytes())
			if w.Code != c.status || d.Code != c.code || w.Header().Get("Retry-After") != c.retry || !strings.Contains(d.Message, c.message) {
				t.Errorf("answered %d %v %+v", w.Code, w.Header(), d)
			}
			if strings.Contains(w.Body.String(), "secret") || strings.Contains(w.Body.String(), "10.0.0.9") {
				t.Errorf("told what is inside: %s", w.Body)
			}
			if ct := w.Header().Get("Content-Type"); ct != "application/problem+json" {
				t.Errorf("content type %q", ct)
			}
		})
	}
}

func TestErrorHeader(t *testing.T) {
	answer := rpc.Errorf(rpc.CodePermissionDenied, "no")
	answer.Header = rpc.Header{{Name: "X-Why", Value: "quota"}, {Name: "x-streamerson-dead", Value: "1"}}
	f := &fakeCaller{answer: func(context.Context, *rpc.Request) (*rpc.Response, error) { return nil, answer }}
	g := newTestGateway(t, f, nil)
	if w := do(g, "GET", "/posts/1", ""); w.Code != 403 || w.Header().Get("X-Why") != "quota" || w.Header().Get("X-Streamerson-Dead") != "" {
		t.Errorf("answered %d %v", w.Code, w.Header())
	}
	answer.Header[0].Value = "a\r\nSet-Cookie: b"
	if w := do(g, "GET", "/posts/1", ""); w.Code != 502 || w.Header().Get("X-Why") != "" {
		t.Errorf("answered %d %v", w.Code, w.Header())
	}
}

func TestAnswers(t *testing.T) {
	field := func(n, v string) rpc.Header { return rpc.Header{{Name: n, Value: v}} }
	for _, c := range []struct {
		name   string
		resp   *rpc.Response
		status int
	}{
		{"nil is an empty 200", nil, 200},
		{"status as given", &rpc.Response{Status: 201, Body: []byte("x")}, 201},
		{"redirect", &rpc.Response{Status: 302, Header: field("Location", "/a")}, 302},
		{"no content has no body", &rpc.Response{Status: 204, Body: []byte("x")}, 204},
		{"not modified has no body", &rpc.Response{Status: 304, Body: []byte("x")}, 304},
		{"status 101", &rpc.Response{Status: 101}, 502},
		{"status 42", &rpc.Response{Status: 42}, 502},
		{"status 999", &rpc.Response{Status: 999}, 502},
		{"line break in a value", &rpc.Response{Header: field("X-A", "a\r\nX-B: b")}, 502},
		{"line break in a name", &rpc.Response{Header: field("X-A: b\r\nX-B", "b")}, 502},
		{"no name", &rpc.Response{Header: field("", "b")}, 502},
		{"blank in a name", &rpc.Response{Header: field("X A", "b")}, 502},
		{"nul in a value", &rpc.Response{Header: field("X-A", "a\x00")}, 502},
		{"line break in the content type", &rpc.Response{ContentType: "a\r\nb: c"}, 502},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fakeCaller{answer: func(context.Context, *rpc.Request) (*rpc.Response, error) { return c.resp, nil }}
			w := do(newTestGateway(t, f, nil), "GET", "/posts/1", "")
			if w.Code != c.status || w.Header().Get("X-B") != "" {
				t.Fatalf("answered %d %v", w.Code, w.Header())
			}
			if (c.status == 204 || c.status == 304) && (w.Body.Len() > 0 || w.Header().Get("Content-Length") != "") {
				t.Errorf("a body where there is none: %v %q", w.Header(), w.Body)
			}
		})
	}
}

func TestAnswerHeader(t *testing.T) {
	f := &fakeCaller{answer: func(context.Context, *rpc.Request) (*rpc.Response, error) {
		return &rpc.Response{Body: []byte("<html>hello"), Timing: rpc.Timing{Total: 4 * time.Millisecond, Publish: time.Millisecond, Handler: 2 * time.Millisecond}, Header: rpc.Header{
			{Name: "set-cookie", Value: "a=1"}, {Name: "Set-Cookie", Value: "b=2"}, {Name: "Content-Length", Value: "99"}, {Name: "Transfer-Encoding", Value: "chunked"},
			{Name: "Connection", Value: "X-Hop, keep-alive"}, {Name: "X-Hop", Value: "1"}, {Name: "Keep-Alive", Value: "1"}, {Name: "Upgrade", Value: "h2c"},
			{Name: "X-Streamerson-Identity", Value: "root"}, {Name: "x_streamerson_param", Value: "1"}, {Name: "X-Request-Id", Value: "other"},
			{Name: "Access-Control-Allow-Origin", Value: "*"},
		}}, nil
	}}
	g := newTestGateway(t, f, func(c *Config) { c.ServerTiming = true })
	w := do(g, "GET", "/posts/1", "")
	want := http.Header{
		"Set-Cookie": {"a=1", "b=2"}, "Content-Length": {"11"}, "X-Request-Id": {f.last(t).ID.String()}, "Access-Control-Allow-Origin": {"*"},
		"Server-Timing": {"publish;dur=1.000, queue;dur=0.000, handler;dur=2.000, reply;dur=1.000, total;dur=4.000"}, "Content-Type": nil,
	}
	if got := w.Header(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("header\n%v\nwant\n%v", got, want)
	}
	g = newTestGateway(t, f, func(c *Config) { c.CORS = CORSConfig{Origins: []string{"https://a.example"}} })
	if w := do(g, "GET", "/posts/1", "", "Origin", "https://evil.example"); w.Header()["Access-Control-Allow-Origin"] != nil || w.Header().Get("Vary") != "Origin" {
		t.Errorf("a worker decides on CORS beside the gateway: %v", w.Header())
	}
	if w := do(g, "HEAD", "/posts/1", ""); w.Body.Len() > 0 || w.Header().Get("Content-Length") != "11" {
		t.Errorf("HEAD: %v %q", w.Header(), w.Body)
	}
}

func TestClientGone(t *testing.T) {
	obs := &recorder{}
	f := &fakeCaller{answer: func(ctx context.Context, _ *rpc.Request) (*rpc.Response, error) {
		<-ctx.Done()
		return nil, &rpc.Error{Code: rpc.CodeCanceled, Err: ctx.Err()}
	}}
	g := newTestGateway(t, f, func(c *Config) { c.Observer = obs })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	g.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/posts/1", nil).WithContext(ctx))
	if obs.get() != "GET /posts/{id} 499" {
		t.Errorf("observed %q", obs.get())
	}
}

type recorder struct {
	mu    sync.Mutex
	open  int
	lines []string
}

func (r *recorder) RequestStart() { r.mu.Lock(); r.open++; r.mu.Unlock() }
func (r *recorder) RequestDone(route string, status int, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open--
	r.lines = append(r.lines, strings.TrimSpace(fmt.Sprint(route, " ", status)))
}

func (r *recorder) get() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, ",")
}

func TestObserver(t *testing.T) {
	obs := &recorder{}
	g := newTestGateway(t, &fakeCaller{}, func(c *Config) { c.Observer = obs })
	do(g, "GET", "/posts/1", "")
	do(g, "GET", "/nope", "")
	do(g, "PUT", "/posts", "")
	do(g, "POST", "/posts", strings.Repeat("x", 1025))
	if got, want := obs.get(), "GET /posts/{id} 200,404,405,POST /posts 413"; got != want || obs.open != 0 {
		t.Errorf("observed %q with %d open, want %q", got, obs.open, want)
	}
}

func TestRequestTimeoutHeader(t *testing.T) {
	f := &fakeCaller{}
	g := newTestGateway(t, f, nil)
	for v, want := range map[string]time.Duration{"250ms": 250 * time.Millisecond, "1h": rpc.DefaultTimeout} {
		if w := do(g, "GET", "/posts/1", "", "X-Request-Timeout", v); w.Code != 200 {
			t.Fatal(w.Code)
		}
		if got := f.last(t); got.Timeout != want || got.Header.Get("X-Request-Timeout") != "" {
			t.Errorf("%s: %v %v", v, got.Timeout, got.Header)
		}
	}
	for _, v := range []string{"5", "-1s", "0s", "soon", ""} {
		if w := do(g, "GET", "/posts/1", "", "X-Request-Timeout", v); w.Code != 400 {
			t.Errorf("%q: %d", v, w.Code)
		}
	}
	f.none(t)
}

func TestOneWayDoesNotExpire(t *testing.T) {
	var left time.Duration
	f := &fakeCaller{answer: func(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
		d, _ := ctx.Deadline()
		left = time.Until(d)
		return nil, nil
	}}
	if w := do(newTestGateway(t, f, nil), "POST", "/mail", "hi"); w.Code != 202 || w.Body.Len() > 0 {
		t.Fatalf("answered %d %q", w.Code, w.Body)
	}
	if got := f.last(t); got.Timeout != 0 || string(got.Body) != "hi" || left > 300*time.Millisecond || left < 0 {
		t.Errorf("published %+v with %v left", got, left)
	}
}

func TestRequestID(t *testing.T) {
	f := &fakeCaller{}
	g := newTestGateway(t, f, nil)
	for _, bad := range []string{"", "a b", "a\nb", strings.Repeat("a", 129), "ä", "<x>"} {
		w := do(g, "GET", "/posts/1", "", "X-Request-Id", bad)
		req := f.last(t)
		if id := w.Header().Get("X-Request-Id"); id == bad || id != req.ID.String() || req.Header.Get(rpc.HeaderRequestID) != id || req.Header.Get("X-Request-Id") != id {
			t.Errorf("%q became %q, %v", bad, id, req.Header)
		}
	}
	good := strings.Repeat("a", 128)
	if w := do(g, "GET", "/posts/1", "", "X-Request-Id", good); w.Header().Get("X-Request-Id") != good {
		t.Errorf("%v", w.Header())
	}
}

func TestCORS(t *testing.T) {
	f := &fakeCaller{}
	g := newTestGateway(t, f, func(c *Config) {
		c.CORS = CORSConfig{Origins: []string{"https://app.example.org"}, Headers: []string{"Authorization"}, Credentials: true}
		c.Auth = denyAll{}
	})
	w := do(g, "OPTIONS", "/posts", "", "Origin", "https://app.example.org", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization")
	h := w.Header()
	if w.Code != 204 || h.Get("Access-Control-Allow-Origin") != "https://app.example.org" || h.Get("Access-Control-Allow-Methods") != "POST" || h.Get("Access-Control-Max-Age") != "600" || h.Get("Access-Control-Allow-Credentials") != "true" {
		t.Errorf("preflight: %d %v", w.Code, h)
	}
	for _, c := range [][]string{
		{"https://app.example.org.evil.com", "POST"}, {"http://app.example.org", "POST"}, {"null", "POST"}, {"https://app.example.org", "PATCH"},
	} {
		if w := do(g, "OPTIONS", "/posts", "", "Origin", c[0], "Access-Control-Request-Method", c[1]); w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%v was allowed: %v", c, w.Header())
		}
	}
	f.none(t)
	w = do(g, "GET", "/open", "", "Origin", "https://app.example.org")
	if w.Header().Get("Access-Control-Allow-Origin") != "https://app.example.org" || !strings.Contains(w.Header().Get("Access-Control-Expose-Headers"), "X-Request-Id") {
		t.Errorf("request: %v", w.Header())
	}
	// A page must be able to read why it was refused.
	if w = do(g, "GET", "/posts", "", "Origin", "https://app.example.org"); w.Code != 401 || w.Header().Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("refusal: %d %v", w.Code, w.Header())
	}
}

type denyAll struct{}

func (denyAll) Authenticate(*http.Request) (string, error) { return "", errors.New("secret reason") }

func TestAuthenticator(t *testing.T) {
	f := &fakeCaller{}
	g := newTestGateway(t, f, func(c *Config) { c.Auth = denyAll{} })
	w := do(g, "GET", "/posts", "")
	if w.Code != 401 || w.Header().Get("Www-Authenticate") != "Bearer" || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("answered %d %v %s", w.Code, w.Header(), w.Body)
	}
	f.none(t)
	if w := do(g, "GET", "/open", ""); w.Code != 200 {
		t.Errorf("public route: %d", w.Code)
	}
	if req := f.last(t); req.Header.Get(rpc.HeaderIdentity) != "" {
		t.Errorf("public route has an identity: %v", req.Header)
	}
}

func TestConfigErrors(t *testing.T) {
	for want, c := range map[string]Config{
		"BodyLimit":          {BodyLimit: -1},
		"HeaderLimit":        {HeaderLimit: 1 << 20},
		"MaxInFlight":        {MaxInFlight: -1},
		"Timeout":            {Timeout: -1},
		"IdentityHeaders[0]": {IdentityHeaders: []string{"a b"}},
		"TrustedProxies[1]":  {TrustedProxies: []string{"10.0.0.0/8", "proxy.local"}},
		"CORS.Origins[0]":    {CORS: CORSConfig{Origins: []string{"*"}, Credentials: true}},
		"not an origin":      {CORS: CORSConfig{Origins: []string{"https://*.example.org"}}},
		"CORS.MaxAge":        {CORS: CORSConfig{MaxAge: -1}},
		"CORS.Headers":       {CORS: CORSConfig{Origins: []string{"https://a.b"}, Headers: []string{"*"}, Credentials: true}},
		"scheme and host":    {CORS: CORSConfig{Origins: []string{"https://a.b/"}}},
		"routes[0].path":     {Routes: []Route{{Method: "GET", Stream: "s"}}},
	} {
		if _, err := New(&fakeCaller{}, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
	if _, err := New(nil, Config{}); err == nil {
		t.Error("a nil caller was taken")
	}
}

func TestReady(t *testing.T) {
	f := &fakeCaller{ready: errors.New("no lane")}
	g := newTestGateway(t, f, nil)
	if g.Ready() == nil {
		t.Error("ready without a lane")
	}
	f.ready = nil
	if err := g.Ready(); err != nil {
		t.Error(err)
	}
}

// statusAuth refuses with a status of its own.
type statusAuth int

func (a statusAuth) Authenticate(*http.Request) (string, error) {
	return "", &AuthError{Status: int(a), Message: "told", Err: errors.New("secret")}
}

func TestAuthErrorStatus(t *testing.T) {
	for status, code := range map[statusAuth]string{401: "unauthenticated", 403: "permission_denied", 503: "unavailable", 0: "unauthenticated", 200: "unauthenticated"} {
		g := newTestGateway(t, &fakeCaller{}, func(c *Config) { c.Auth = status })
		w := do(g, "GET", "/posts", "")
		want := int(status)
		if want < 400 {
			want = 401
		}
		d := problemOf(t, w.Body.Bytes())
		if w.Code != want || d.Code != code || d.Message != "told" || (w.Header().Get("Retry-After") != "") != (want == 503) {
			t.Errorf("%d: answered %d %v %+v", status, w.Code, w.Header(), d)
		}
	}
}
