package worker_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/worker"
)

func handle(t *testing.T, h http.HandlerFunc, req *rpc.Request) (*rpc.Response, error) {
	t.Helper()
	return worker.HTTP(h, worker.HTTPOptions{Logger: quiet, MaxResponse: 1000})(t.Context(), req)
}

func TestRequestOfAMessage(t *testing.T) {
	line := func(method, path, query string, more ...rpc.Field) rpc.Header {
		return append(rpc.Header{{Name: rpc.HeaderMethod, Value: method}, {Name: rpc.HeaderPath, Value: path}, {Name: rpc.HeaderQuery, Value: query}}, more...)
	}
	for _, c := range []struct {
		name string
		req  rpc.Request
		want func(*http.Request) any
		is   any
	}{
		{"without a request line it is POST", rpc.Request{Function: "posts.list"}, func(r *http.Request) any { return r.Method + r.RequestURI }, "POST/posts.list"},
		{"a function is escaped", rpc.Request{Function: "a b/c?d"}, func(r *http.Request) any { return r.RequestURI + r.URL.Path }, "/a%20b/c%3Fd/a b/c?d"},
		{"a request line", rpc.Request{Function: "f", Header: line("GET", "/a%2Fb", "x=1")}, func(r *http.Request) any { return r.Method + r.RequestURI + r.URL.Path }, "GET/a%2Fb?x=1/a/b"},
		{"any case", rpc.Request{Header: rpc.Header{{Name: "X-STREAMERSON-Path", Value: "/p"}}}, func(r *http.Request) any { return r.RequestURI }, "/p"},
		{"host of the stream", rpc.Request{Stream: "posts", Function: "f"}, func(r *http.Request) any { return r.Host }, "posts"},
		{"host as sent", rpc.Request{Stream: "posts", Header: line("GET", "/", "", rpc.Field{Name: "host", Value: "h:1"})}, func(r *http.Request) any { return r.Host + r.Header.Get("Host") }, "h:1"},
		{"path parameters", rpc.Request{Header: line("GET", "/", "", rpc.Field{Name: "x-streamerson-param-postID", Value: "7"})}, func(r *http.Request) any { return r.PathValue("postID") }, "7"},
		{"identity", rpc.Request{Function: "f", Header: rpc.Header{{Name: rpc.HeaderIdentity, Value: "ada"}, {Name: rpc.HeaderIdentity, Value: "eve"}}},
			func(r *http.Request) any {
				return worker.Identity(r) + strings.Join(r.Header.Values("X-Streamerson-Identity"), ",")
			}, "adaada"},
		{"request id", rpc.Request{Function: "f", Header: rpc.Header{{Name: rpc.HeaderRequestID, Value: "r1"}}}, func(r *http.Request) any { return worker.RequestID(r) }, "r1"},
		{"content type", rpc.Request{Function: "f", ContentType: "text/x"}, func(r *http.Request) any { return r.Header.Get("Content-Type") }, "text/x"},
		{"trace and key", rpc.Request{Function: "f", Trace: "00-a", TraceState: "s", IdempotencyKey: "k"},
			func(r *http.Request) any {
				return r.Header.Get("Traceparent") + r.Header.Get("Tracestate") + r.Header.Get("Idempotency-Key")
			}, "00-ask"},
		{"fields of a connection", rpc.Request{Function: "f", Header: rpc.Header{{Name: "connection", Value: "close, X-Once"}, {Name: "x-once", Value: "1"}, {Name: "keep-alive", Value: "1"},
			{Name: "Proxy-Connection", Value: "1"}, {Name: "upgrade", Value: "h2c"}, {Name: "Transfer-Encoding", Value: "chunked"}, {Name: "Trailer", Value: "x"}, {Name: "Content-Length", Value: "9"}, {Name: "x-kept", Value: "1"}}},
			func(r *http.Request) any { return fields(r.Header) }, "X-Kept=1\n"},
		{"connection can't remove the identity", rpc.Request{Function: "f", Header: rpc.Header{{Name: "connection", Value: "x-streamerson-identity"}, {Name: rpc.HeaderIdentity, Value: "ada"}}},
			func(r *http.Request) any { return r.Header.Get(rpc.HeaderIdentity) }, "ada"},
		{"identity in other spellings", rpc.Request{Function: "f", Header: rpc.Header{{Name: "x_streamerson_identity", Value: "eve"}, {Name: "X.Streamerson-Identity", Value: "eve"}, {Name: "x-streamerson_role", Value: "eve"}}},
			func(r *http.Request) any { return fields(r.Header) + worker.Identity(r) }, ""},
		{"no body", rpc.Request{Function: "f"}, func(r *http.Request) any { return r.Body == http.NoBody && r.ContentLength == 0 }, true},
		{"remote address parses", rpc.Request{Function: "f"}, func(r *http.Request) any { return r.RemoteAddr }, "0.0.0.0:0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got any
			if _, err := handle(t, func(_ http.ResponseWriter, r *http.Request) { got = c.want(r) }, &c.req); err != nil {
				t.Fatal(err)
			}
			if got != c.is {
				t.Errorf("got %q, want %q", got, c.is)
			}
		})
	}
}

func TestBadMessagesAreRefused(t *testing.T) {
	for name, h := range map[string]rpc.Header{
		"absolute URL":    {{Name: rpc.HeaderPath, Value: "http://evil/"}},
		"relative path":   {{Name: rpc.HeaderPath, Value: "a"}},
		"query in path":   {{Name: rpc.HeaderPath, Value: "/a?b"}},
		"bad escape":      {{Name: rpc.HeaderPath, Value: "/%zz"}},
		"line break":      {{Name: rpc.HeaderPath, Value: "/a\r\nb"}},
		"method":          {{Name: rpc.HeaderMethod, Value: "GET /x"}, {Name: rpc.HeaderPath, Value: "/"}},
		"header name":     {{Name: "a b", Value: "1"}},
		"header injected": {{Name: "a", Value: "1\r\nb: 2"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := handle(t, func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") }, &rpc.Request{Function: "f", Header: h})
			if rpc.CodeOf(err) != rpc.CodeInvalidArgument {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestIdentityOfASocketIsNotTrusted(t *testing.T) {
	r, _ := http.NewRequestWithContext(t.Context(), "GET", "/", nil)
	r.Header.Set(rpc.HeaderIdentity, "eve")
	if got := worker.Identity(r); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestLimitOfAResponse(t *testing.T) {
	var werr error
	_, err := handle(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 11 {
			if _, werr = w.Write(make([]byte, 100)); werr != nil {
				return
			}
		}
	}, &rpc.Request{Function: "f"})
	if rpc.CodeOf(err).HTTPStatus() != 500 || !strings.Contains(err.Error(), "1000 bytes") || werr == nil {
		t.Errorf("got %v, and from Write %v", err, werr)
	}
	resp, err := handle(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1000)) }, &rpc.Request{Function: "f"})
	if err != nil || len(resp.Body) != 1000 {
		t.Errorf("exactly the limit: %v", err)
	}
}

func TestShortBodyIsAnError(t *testing.T) {
	_, err := handle(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5")
		_, _ = w.Write([]byte("abc"))
	}, &rpc.Request{Function: "f"})
	if rpc.CodeOf(err) != rpc.CodeInternal {
		t.Errorf("got %v", err)
	}
}

func TestAbortIsAnErrorAndAPanicGoesOn(t *testing.T) {
	_, err := handle(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, &rpc.Request{Function: "f"})
	if e, ok := errors.AsType[*rpc.Error](err); !ok || e.Code != rpc.CodeInternal || e.Origin != rpc.OriginRuntime {
		t.Errorf("got %v", err)
	}
	defer func() {
		if p := recover(); p != "boom" {
			t.Errorf("recovered %v", p)
		}
	}()
	_, _ = handle(t, func(http.ResponseWriter, *http.Request) { panic("boom") }, &rpc.Request{Function: "f"})
}

func TestBadStatusPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	_, _ = handle(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(42) }, &rpc.Request{Function: "f"})
}

func TestFlushAndHijack(t *testing.T) {
	resp, err := handle(t, func(w http.ResponseWriter, _ *http.Request) {
		c := http.NewResponseController(w)
		if err := c.Flush(); err != nil {
			t.Error(err)
		}
		w.WriteHeader(500) // too late
		if _, _, err := c.Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("hijack: %v", err)
		}
		if err := c.SetReadDeadline(time.Time{}); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("deadline: %v", err)
		}
		_, _ = io.WriteString(w, "x")
	}, &rpc.Request{Function: "f"})
	if err != nil || resp.Status != 200 || string(resp.Body) != "x" {
		t.Errorf("got %+v, %v", resp, err)
	}
}

// The header is fixed by a flush, and with it the type: detected from what was written before, or none.
func TestFlushFixesTheContentType(t *testing.T) {
	for _, c := range []struct{ before, after, want string }{
		{"<html>", "plain", "text/html; charset=utf-8"},
		{"plain", "<html>", "text/plain; charset=utf-8"},
		{"", "<html>", ""},
	} {
		resp, err := handle(t, func(w http.ResponseWriter, _ *http.Request) {
			if c.before != "" {
				_, _ = io.WriteString(w, c.before)
			}
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, c.after)
			w.(http.Flusher).Flush()
		}, &rpc.Request{Function: "f"})
		if err != nil || resp.ContentType != c.want || string(resp.Body) != c.before+c.after {
			t.Errorf("%q, flush, %q: got %+v, %v", c.before, c.after, resp, err)
		}
	}
}

func TestReservedFieldsStayInside(t *testing.T) {
	resp, err := handle(t, func(w http.ResponseWriter, r *http.Request) {
		for k, v := range r.Header { // some handlers do this
			w.Header()[k] = v
		}
		w.Header().Set("Connection", "X-Private")
		w.Header().Set("X-Private", "1")
	}, &rpc.Request{Function: "f", Header: rpc.Header{{Name: rpc.HeaderIdentity, Value: "ada"}, {Name: "a", Value: "1"}}})
	if err != nil || len(resp.Header) != 1 || resp.Header.Get("a") != "1" {
		t.Errorf("got %+v, %v", resp, err)
	}
}

func TestOneWayFailureIsAnError(t *testing.T) {
	for status, failed := range map[int]bool{200: false, 302: false, 404: true, 503: true} {
		resp, err := handle(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "no luck")
		}, &rpc.Request{Function: "f", OneWay: true})
		if failed != (err != nil) || failed != (resp == nil) {
			t.Errorf("status %d: %v, %v", status, resp, err)
		}
		if failed && !strings.Contains(err.Error(), "no luck") {
			t.Errorf("status %d: the cause is missing in %v", status, err)
		}
	}
}

// What a goroutine writes after its handler returned reaches nobody, above all no other response.
func TestWritesAfterReturnReachNobody(t *testing.T) {
	var late http.ResponseWriter
	first, err := handle(t, func(w http.ResponseWriter, _ *http.Request) { late = w; _, _ = io.WriteString(w, "first") }, &rpc.Request{Function: "f"})
	if err != nil {
		t.Fatal(err)
	}
	second, err := handle(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "second")
		if _, err := io.WriteString(late, "late"); err == nil {
			t.Error("a late write succeeded")
		}
		late.WriteHeader(500)
	}, &rpc.Request{Function: "f"})
	if err != nil || string(first.Body) != "first" || string(second.Body) != "second" {
		t.Errorf("got %q and %q, %v", first.Body, second.Body, err)
	}
}

func TestBodiesAreTheCallers(t *testing.T) {
	for _, n := range []int{10, 100_000} { // copied out of the pool, and leaving with its buffer
		h := worker.HTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }), worker.HTTPOptions{})
		var got [][]byte
		for i := range 10 {
			resp, err := h(t.Context(), &rpc.Request{Function: "f", Body: bytes.Repeat([]byte{byte(i)}, n)})
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, resp.Body)
		}
		for i, b := range got {
			if !bytes.Equal(b, bytes.Repeat([]byte{byte(i)}, n)) {
				t.Errorf("body %d of %d bytes was overwritten", i, n)
			}
		}
	}
}

func TestSecondStatusIsLoggedWithItsPlace(t *testing.T) {
	var out bytes.Buffer
	h := worker.HTTP(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 5 {
			w.WriteHeader(202)
		}
	}), worker.HTTPOptions{Logger: slog.New(slog.NewTextHandler(&out, nil))})
	if _, err := h(t.Context(), &rpc.Request{Function: "f"}); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); strings.Count(s, "superfluous") != 1 || !strings.Contains(s, "http_test.go") {
		t.Errorf("logged %q", s)
	}
}

func TestContextOfAMessageReachesTheHandler(t *testing.T) {
	type key struct{}
	cause := errors.New("gone")
	ctx, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, "v"))
	h := worker.HTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		below, stop := context.WithTimeout(r.Context(), time.Minute)
		defer stop()
		cancel(cause)
		<-below.Done()
		w.WriteHeader(http.StatusNoContent) // it has an answer all the same
		if below.Value(key{}) != "v" || context.Cause(below) != cause {
			t.Errorf("value %v, cause %v", below.Value(key{}), context.Cause(below))
		}
	}), worker.HTTPOptions{})
	if _, err := h(ctx, &rpc.Request{Function: "f"}); err != nil {
		t.Fatal(err)
	}
}

func TestAdapterAllocations(t *testing.T) {
	h := worker.HTTP(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = jsonType
		_, _ = w.Write(payload)
	}), worker.HTTPOptions{})
	req := &rpc.Request{Stream: "posts", Function: "f", ContentType: "application/json", Body: payload, Header: rpc.Header{
		{Name: rpc.HeaderMethod, Value: "POST"}, {Name: rpc.HeaderPath, Value: "/posts"}, {Name: "Accept", Value: "*/*"}, {Name: rpc.HeaderRequestID, Value: "1"},
	}}
	ctx := t.Context()
	// The request, what goes with it, its header (map and values), the response, its header (map and list) and its body.
	if n := testing.AllocsPerRun(500, func() { _, _ = h(ctx, req) }); n > 14 {
		t.Errorf("%v allocations a request", n)
	} else {
		t.Logf("%v allocations a request", n)
	}
}

var (
	jsonType = []string{"application/json"}
	payload  = bytes.Repeat([]byte("x"), 128)
)
