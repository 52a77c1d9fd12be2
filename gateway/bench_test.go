package gateway

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"testing"

	"github.com/streamerson/streamerson/rpc"
)

// quickCaller costs nothing, so that what is measured is the gateway.
type quickCaller struct{ resp rpc.Response }

func (q *quickCaller) Call(context.Context, *rpc.Request) (*rpc.Response, error) { return &q.resp, nil }
func (q *quickCaller) Send(context.Context, *rpc.Request) error                  { return nil }
func (q *quickCaller) Ready() error                                              { return nil }
func (q *quickCaller) Watch(string)                                              {}

type nullWriter struct{ h http.Header }

func (w *nullWriter) Header() http.Header         { return w.h }
func (w *nullWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *nullWriter) WriteHeader(int)             {}

// browserHeader is what a usual client sends.
func browserHeader() http.Header {
	return http.Header{
		"Accept": {"application/json"}, "Accept-Encoding": {"gzip, deflate, br"}, "Accept-Language": {"en"}, "User-Agent": {"Mozilla/5.0 (X11; Linux x86_64)"},
		"Content-Type": {"application/json"}, "Content-Length": {"128"}, "Cookie": {"session=0123456789abcdef"}, "Referer": {"https://app.example.org/"},
	}
}

func benchRequest(method, target string, body []byte) (*http.Request, *bytes.Reader) {
	rd := bytes.NewReader(body)
	r, err := http.NewRequest(method, target, io.NopCloser(rd))
	if err != nil {
		panic(err)
	}
	r.ContentLength, r.RemoteAddr, r.Header, r.RequestURI = int64(len(body)), "192.0.2.1:1234", browserHeader(), target
	return r, rd
}

func BenchmarkServeHTTP(b *testing.B) {
	body := bytes.Repeat([]byte("x"), 128)
	q := &quickCaller{rpc.Response{ContentType: "application/json", Body: body, Header: rpc.Header{{Name: "Cache-Control", Value: "no-store"}}}}
	for name, c := range map[string]struct{ method, target string }{"post": {"POST", "/posts"}, "param": {"GET", "/posts/7?x=1"}} {
		b.Run(name, func(b *testing.B) {
			g := newTestGateway(b, q, nil)
			r, rd := benchRequest(c.method, c.target, body)
			w := &nullWriter{h: make(http.Header, 8)}
			b.ReportAllocs()
			for b.Loop() {
				rd.Reset(body)
				clear(w.h)
				g.ServeHTTP(w, r)
			}
		})
	}
}

// BenchmarkServeHTTPRoutes shows what a large table costs a request.
func BenchmarkServeHTTPRoutes(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			routes := make([]Route, n)
			for i := range routes {
				routes[i] = Route{Method: "GET", Path: "/r" + strconv.Itoa(i) + "/{id}", Stream: "s"}
			}
			g := newTestGateway(b, &quickCaller{}, func(c *Config) { c.Routes = routes })
			r, _ := benchRequest("GET", "/r"+strconv.Itoa(n-1)+"/7", nil)
			w := &nullWriter{h: make(http.Header, 8)}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.h)
				g.ServeHTTP(w, r)
			}
		})
	}
}

// TestAllocations holds a request to what it costs today, net/http's own part aside.
func TestAllocations(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 128)
	q := &quickCaller{rpc.Response{ContentType: "application/json", Body: body, Header: rpc.Header{{Name: "Cache-Control", Value: "no-store"}}}}
	g := newTestGateway(t, q, nil)
	r, rd := benchRequest("POST", "/posts", body)
	w := &nullWriter{h: make(http.Header, 8)}
	n := testing.AllocsPerRun(200, func() {
		rd.Reset(body)
		clear(w.h)
		g.ServeHTTP(w, r)
	})
	if limit := 8.0; n > limit && !raceEnabled {
		t.Errorf("%v allocations a request, want at most %v", n, limit)
	}
}
