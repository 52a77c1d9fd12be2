package worker

import (
	"io"
	"net/http"
	"strconv"
	"testing"

	"github.com/streamerson/streamerson/rpc"
)

// echo is ordinary service code.
func echo(w http.ResponseWriter, r *http.Request) {
	body := make([]byte, r.ContentLength)
	_, _ = io.ReadFull(r.Body, body)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

// gatewayRequest is what a gateway makes of a small POST.
func gatewayRequest() *rpc.Request {
	return &rpc.Request{Stream: "posts", Function: "POST /posts", ContentType: "application/octet-stream", Body: make([]byte, 128), Header: rpc.Header{
		{Name: rpc.HeaderMethod, Value: "POST"}, {Name: rpc.HeaderPath, Value: "/posts"}, {Name: rpc.HeaderRequestID, Value: "0123456789abcdef0123456789abcdef"},
		{Name: "X-Request-Id", Value: "0123456789abcdef0123456789abcdef"}, {Name: "Host", Value: "a"}, {Name: "X-Forwarded-For", Value: "127.0.0.1"}, {Name: "X-Forwarded-Proto", Value: "http"},
	}}
}

func BenchmarkHTTP(b *testing.B) {
	h, req := HTTP(http.HandlerFunc(echo), HTTPOptions{}), gatewayRequest()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
}

// TestAllocations holds a request to what it costs today, its handler's four included.
func TestAllocations(t *testing.T) {
	h, req := HTTP(http.HandlerFunc(echo), HTTPOptions{}), gatewayRequest()
	n := testing.AllocsPerRun(200, func() {
		if _, err := h(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	})
	if limit := 14.0; n > limit && !raceEnabled {
		t.Errorf("%v allocations a request, want at most %v", n, limit)
	}
}
