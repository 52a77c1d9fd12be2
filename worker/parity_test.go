package worker_test

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/worker"
)

// direct is a worker.Caller that runs the handler at once: all of the path but the broker.
type direct struct{ h rpc.Handler }

func (d direct) Call(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
	resp, err := d.h(ctx, req)
	return resp, err
}

var quiet = slog.New(slog.DiscardHandler)

// seen is what a client can see of an answer.
type seen struct {
	Status int
	Header http.Header
	Length int64
	Body   string
}

func see(t *testing.T, client *http.Client, base string, r probe) seen {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), r.method, base+r.path, strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	if r.body == "" {
		req.Body, req.ContentLength = http.NoBody, 0
	}
	req.Host = "service.example"
	maps.Copy(req.Header, r.header)
	// Otherwise net/http's client would ask for gzip and name itself.
	for key, value := range map[string]string{"Accept-Encoding": "identity", "User-Agent": "probe"} {
		if req.Header.Get(key) == "" {
			req.Header.Set(key, value)
		}
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	h := res.Header.Clone()
	h.Del("Date") // the gateway's server adds it
	return seen{res.StatusCode, h, res.ContentLength, string(body)}
}

type probe struct {
	name, method, path, body string
	header                   http.Header
	handler                  http.HandlerFunc
}

func fields(h http.Header) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(h)) {
		b.WriteString(k + "=" + strings.Join(h[k], "|") + "\n")
	}
	return b.String()
}

// echo tells all that a handler can see of its request.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	h := r.Header.Clone()
	h.Del("Content-Length") // a message has a length without a field for it
	_, _ = io.WriteString(w, strings.Join([]string{
		r.Method, r.URL.Path, r.URL.RawPath, r.URL.EscapedPath(), r.URL.RawQuery, r.RequestURI, r.Host, r.Proto, fields(h), string(body), r.PathValue("id"),
	}, "\n"))
	if err != nil || r.ContentLength != int64(len(body)) {
		_, _ = io.WriteString(w, "bad length")
	}
}

func write(status int, key, value, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if key != "" {
			w.Header().Set(key, value)
		}
		if status != 0 {
			w.WriteHeader(status)
		}
		if body != "" {
			_, _ = io.WriteString(w, body)
		}
	}
}

var probes = []probe{
	{name: "plain", method: "GET", path: "/posts/7", handler: echo},
	{name: "root", method: "GET", path: "/", handler: echo},
	{name: "query", method: "GET", path: "/posts?b=2&a=1&a=%20x+y", handler: echo},
	{name: "escaped", method: "GET", path: "/a%2Fb/%C3%BC/%20?q", handler: echo},
	{name: "odd characters", method: "GET", path: "/a;b=1,2/(x)/!$&'*+:@", handler: echo},
	{name: "double slash", method: "GET", path: "//a//b", handler: echo},
	{name: "dots", method: "GET", path: "/a/../b/.", handler: echo},
	{name: "post", method: "POST", path: "/posts", body: `{"a":1}`, header: http.Header{"Content-Type": {"application/json"}}, handler: echo},
	{name: "binary", method: "PUT", path: "/x", body: "\x00\xff\r\n\x00", handler: echo},
	{name: "empty post", method: "POST", path: "/x", handler: echo},
	{name: "own method", method: "PURGE", path: "/x", handler: echo},
	{name: "many values", method: "GET", path: "/x", header: http.Header{"X-A": {"1", "2", "3"}, "Cookie": {"a=b", "c=d"}, "Accept": {"*/*"}}, handler: echo},
	{name: "idempotency and trace", method: "POST", path: "/x", header: http.Header{"Idempotency-Key": {"k1"}, "Traceparent": {"00-1-2-01"}, "Tracestate": {"v=1"}}, handler: echo},
	{name: "hop by hop is dropped", method: "GET", path: "/x", header: http.Header{"Te": {"trailers"}, "X-Kept": {"1"}}, handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Seen", r.Header.Get("X-Kept"))
	}},

	{name: "nothing", method: "GET", path: "/", handler: func(http.ResponseWriter, *http.Request) {}},
	{name: "json", method: "GET", path: "/", handler: write(201, "Content-Type", "application/json", `{}`)},
	{name: "sniffed html", method: "GET", path: "/", handler: write(0, "", "", "<html><body>")},
	{name: "sniffed text", method: "GET", path: "/", handler: write(0, "", "", "hello")},
	{name: "sniffed png", method: "GET", path: "/", handler: write(0, "", "", "\x89PNG\x0D\x0A\x1A\x0A")},
	{name: "no sniffing of encoded", method: "GET", path: "/", handler: write(0, "Content-Encoding", "br", "xx")},
	{name: "type switched off", method: "GET", path: "/", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		_, _ = io.WriteString(w, "hello")
	}},
	{name: "no content", method: "GET", path: "/", handler: write(204, "X-A", "1", "refused")},
	{name: "not modified", method: "GET", path: "/", handler: write(304, "Etag", `"1"`, "refused")},
	{name: "not modified has no type", method: "GET", path: "/", handler: write(304, "Content-Type", "text/x", "")},
	{name: "error", method: "GET", path: "/", handler: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "sorry", 503) }},
	{name: "redirect", method: "GET", path: "/a", handler: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/b", 302) }},
	{name: "unusual status", method: "GET", path: "/", handler: write(799, "", "", "x")},
	{name: "informational first", method: "GET", path: "/", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(103)
		w.WriteHeader(202)
	}},
	{name: "second status ignored", method: "GET", path: "/", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(202)
		w.WriteHeader(500)
	}},
	{name: "header after status ignored", method: "GET", path: "/", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(202)
		w.Header().Set("X-Late", "1")
	}},
	{name: "multi value response", method: "GET", path: "/", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		w.Header()["X-Bad\nName"] = []string{"x"}
		w.Header().Set("X-Lines", "a\r\nb")
	}},
	{name: "head", method: "HEAD", path: "/", handler: write(0, "", "", "hello")},
	{name: "head with length", method: "HEAD", path: "/", handler: write(0, "Content-Length", "1234", "")},
	{name: "wrong length refused", method: "GET", path: "/", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "2")
		_, _ = io.WriteString(w, "ab")
		if _, err := io.WriteString(w, "c"); err != http.ErrContentLength {
			panic(err)
		}
	}},
	{name: "file", method: "GET", path: "/", header: http.Header{"Range": {"bytes=2-4"}}, handler: func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "a.txt", testTime, strings.NewReader("0123456789"))
	}},
	{name: "mux path value", method: "GET", path: "/posts/a%2Fb", handler: func(w http.ResponseWriter, r *http.Request) {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /posts/{id}", echo)
		mux.ServeHTTP(w, r)
	}},
	{name: "mux wrong method", method: "PUT", path: "/posts/1", handler: func(w http.ResponseWriter, r *http.Request) {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /posts/{id}", echo)
		mux.ServeHTTP(w, r)
	}},
	{name: "read after close", method: "POST", path: "/", body: "abc", handler: func(w http.ResponseWriter, r *http.Request) {
		_ = r.Body.Close()
		if _, err := r.Body.Read(make([]byte, 1)); err != nil {
			_, _ = io.WriteString(w, err.Error())
		}
	}},
	{name: "body limit", method: "POST", path: "/", body: "abcdef", handler: func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 3))
		w.Header().Set("Connection", "close") // as net/http sets of itself then
		http.Error(w, err.Error(), 413)
	}},
	{name: "large", method: "POST", path: "/", body: strings.Repeat("0123456789abcdef", 64<<10), handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1048576")
		_, _ = io.Copy(w, r.Body)
	}},
}

// The same handler gives the same answer over a socket and through a message.
func TestAnswersAsOverHTTP(t *testing.T) {
	for _, p := range probes {
		t.Run(p.name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(p.handler)
			server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
			server.Start()
			defer server.Close()
			noFollow := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			want := see(t, &http.Client{CheckRedirect: noFollow}, server.URL, p)
			rt := worker.RoundTripper(direct{worker.HTTP(p.handler, worker.HTTPOptions{Logger: quiet})}, worker.RoundTripperOptions{})
			got := see(t, &http.Client{CheckRedirect: noFollow, Transport: rt}, "http://service", p)
			if got.Status != want.Status || got.Body != want.Body || got.Length != want.Length || fields(got.Header) != fields(want.Header) {
				t.Errorf("through a message:\n%+v\nover HTTP:\n%+v", got, want)
			}
		})
	}
}

// A sidecar gives what its target gave.
func TestForwardsAsOverHTTP(t *testing.T) {
	for _, p := range probes {
		t.Run(p.name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(p.handler)
			server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
			server.Start()
			defer server.Close()
			noFollow := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			want := see(t, &http.Client{CheckRedirect: noFollow}, server.URL, p)
			forward, err := worker.Forward(server.URL, worker.ForwardOptions{})
			if err != nil {
				t.Fatal(err)
			}
			rt := worker.RoundTripper(direct{forward}, worker.RoundTripperOptions{})
			got := see(t, &http.Client{CheckRedirect: noFollow, Transport: rt}, "http://service", p)
			if got.Status != want.Status || got.Body != want.Body || fields(got.Header) != fields(want.Header) {
				t.Errorf("through a sidecar:\n%+v\nover HTTP:\n%+v", got, want)
			}
		})
	}
}

var testTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
