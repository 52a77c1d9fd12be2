package worker_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/worker"
)

type callerFunc func(context.Context, *rpc.Request) (*rpc.Response, error)

func (f callerFunc) Call(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
	return f(ctx, req)
}

// tracked tells whether it was closed.
type tracked struct {
	io.Reader
	closed bool
}

func (b *tracked) Close() error { b.closed = true; return nil }

func TestRoundTripperChoosesTheStream(t *testing.T) {
	var got *rpc.Request
	caller := callerFunc(func(_ context.Context, req *rpc.Request) (*rpc.Response, error) {
		got = req
		return nil, nil //nolint:nilnil // an empty success
	})
	fallback := roundTripFunc(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 299, Body: http.NoBody, Request: r}, nil
	})
	hosts := worker.Hosts(map[string]string{"api.example": "api"})
	for _, c := range []struct {
		url, stream string
		status      int
		opts        worker.RoundTripperOptions
	}{
		{"http://users/users/7?x=1", "users", 200, worker.RoundTripperOptions{}},
		{"http://users:8080", "users", 200, worker.RoundTripperOptions{}},
		{"https://API.example/x", "api", 200, worker.RoundTripperOptions{Stream: hosts}},
		{"http://other/x", "", 299, worker.RoundTripperOptions{Stream: hosts, Fallback: fallback}},
		{"http://other/x", "", 0, worker.RoundTripperOptions{Stream: hosts}},
	} {
		got = nil
		body := &tracked{Reader: strings.NewReader("b")}
		r, _ := http.NewRequestWithContext(t.Context(), "POST", c.url, body)
		res, err := worker.RoundTripper(caller, c.opts).RoundTrip(r)
		if (err == nil) != (c.status != 0) || (res == nil) != (err != nil) || res != nil && res.StatusCode != c.status {
			t.Errorf("%s: %v, %v", c.url, res, err)
		}
		if err != nil && !strings.Contains(err.Error(), "other") {
			t.Errorf("%s: %v doesn't name the host", c.url, err)
		}
		if c.status != 299 && !body.closed {
			t.Errorf("%s: the body is open", c.url)
		}
		if c.stream != "" && (got == nil || got.Stream != c.stream || got.Function != worker.FunctionHTTP || string(got.Body) != "b") {
			t.Errorf("%s: sent %+v", c.url, got)
		}
		if res != nil {
			_ = res.Body.Close()
		}
	}
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A handler can't give itself an identity, nor pass on one that it was not asked with.
func TestReservedFieldsAreNotSent(t *testing.T) {
	var sent rpc.Header
	rt := worker.RoundTripper(callerFunc(func(_ context.Context, req *rpc.Request) (*rpc.Response, error) {
		sent = req.Header
		return &rpc.Response{}, nil
	}), worker.RoundTripperOptions{})
	r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://users/a%2Fb?q=1", nil)
	r.Header = http.Header{"X-Streamerson-Identity": {"eve"}, "X_streamerson_identity": {"eve"}, "X-Streamerson-Path": {"/admin"}, "Connection": {"X-Once"}, "X-Once": {"1"}, "X-A": {"1", "2"}}
	before := fields(r.Header)
	res, err := rt.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if fields(r.Header) != before {
		t.Error("the request was changed")
	}
	var all []string
	for _, f := range sent {
		all = append(all, f.Name+"="+f.Value)
	}
	want := "x-streamerson-method=GET x-streamerson-path=/a%2Fb Host=users x-streamerson-query=q=1 X-A=1 X-A=2"
	if got := strings.Join(all, " "); got != want {
		t.Errorf("sent %s\nwant %s", got, want)
	}
}

func TestErrorsOfACall(t *testing.T) {
	for _, c := range []struct {
		name       string
		err        *rpc.Error
		status     int
		is         error
		timeout    bool
		retryAfter string
	}{
		{"a handler's error is an answer", &rpc.Error{Code: rpc.CodeNotFound, Message: "no such user", Origin: rpc.OriginHandler}, 404, nil, false, ""},
		{"with a hint", &rpc.Error{Code: rpc.CodeUnavailable, Message: "busy", Origin: rpc.OriginHandler, RetryAfter: 1200 * time.Millisecond}, 503, nil, false, "2"},
		{"nobody serves", &rpc.Error{Code: rpc.CodeUnavailable, Message: "no workers"}, 0, nil, false, ""},
		{"a panic", &rpc.Error{Code: rpc.CodeInternal, Message: "panic", Origin: rpc.OriginRuntime}, 0, nil, false, ""},
		{"a deadline", &rpc.Error{Code: rpc.CodeDeadlineExceeded}, 0, context.DeadlineExceeded, true, ""},
		{"a cancel", &rpc.Error{Code: rpc.CodeCanceled}, 0, context.Canceled, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := &http.Client{Transport: worker.RoundTripper(callerFunc(func(context.Context, *rpc.Request) (*rpc.Response, error) { return nil, c.err }), worker.RoundTripperOptions{})}
			r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://users/", nil)
			res, err := client.Do(r)
			if c.status != 0 {
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if res.StatusCode != c.status || string(body) != c.err.Message || res.Header.Get("Retry-After") != c.retryAfter {
					t.Errorf("got %d %s %v", res.StatusCode, body, res.Header)
				}
				return
			}
			if err == nil {
				_ = res.Body.Close()
				t.Fatal("no error")
			}
			if e, ok := errors.AsType[*rpc.Error](err); !ok || e != c.err {
				t.Errorf("no *rpc.Error in %v", err)
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v is not %v", err, c.is)
			}
			if e, ok := errors.AsType[*url.Error](err); !ok || e.Timeout() != c.timeout {
				t.Errorf("Timeout() of %v", err)
			}
			if ne, ok := errors.AsType[net.Error](err); !ok || ne.Timeout() != c.timeout {
				t.Errorf("net.Error of %v", err)
			}
		})
	}
}

func TestLimitOfARequest(t *testing.T) {
	rt := worker.RoundTripper(callerFunc(func(_ context.Context, req *rpc.Request) (*rpc.Response, error) {
		return &rpc.Response{Body: req.Body}, nil
	}), worker.RoundTripperOptions{MaxRequest: 10})
	for body, ok := range map[string]bool{"0123456789": true, "0123456789a": false} {
		for _, length := range []int64{int64(len(body)), -1} {
			b := &tracked{Reader: strings.NewReader(body)}
			r, _ := http.NewRequestWithContext(t.Context(), "POST", "http://users/", b)
			r.ContentLength = length
			res, err := rt.RoundTrip(r)
			if ok != (err == nil) || !b.closed || err != nil && !strings.Contains(err.Error(), "10 bytes") {
				t.Errorf("%d bytes, length %d: %v, closed %v", len(body), length, err, b.closed)
			}
			if res != nil {
				_ = res.Body.Close()
			}
		}
	}
}
