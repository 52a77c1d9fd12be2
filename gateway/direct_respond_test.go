package gateway

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/streamerson/streamerson/rpc"
)

func fields(pairs ...string) (h rpc.Header) {
	for i := 0; i < len(pairs); i += 2 {
		h = append(h, rpc.Field{Name: pairs[i], Value: pairs[i+1]})
	}
	return h
}

// workers are answers that a worker may give: what respondDirect takes, and all that it must leave to others.
var workers = map[string]*rpc.Response{
	"nothing": nil,
	"empty":   {},
	"plain":   {ContentType: "text/plain", Body: []byte("hello"), Header: fields("Cache-Control", "no-store", "Content-Length", "5")},
	"untyped": {Body: []byte("<html>")},
	"order": {Status: 201, ContentType: "a/b", Body: []byte("x"), Header: fields("zebra", "1", "X-A", "2", "x-a", " 3\t", "Set-Cookie", "b=1; Path=/", "Set-Cookie", "a=2", "ETag", `"1"`,
		"Location", "/posts/1", "X-Request-Id", "theirs", "Keep-Alive", "5", "Transfer-Encoding", "chunked", "Server-Timing", "db;dur=1", "x-streamerson-identity", "root", "X_Streamerson.Path", "/")},
	"typed twice":   {ContentType: "a/b", Header: fields("content-type", "c/d", "Content-Type", "e/f")},
	"type as field": {Header: fields("Content-Type", "c/d"), Body: []byte("x")},
	"dated":         {Header: fields("Date", "never"), Body: []byte("x")},
	"connection":    {Header: fields("Connection", "X-A, close", "X-A", "1", "X-B", "2"), Body: []byte("x")},
	"encoded":       {Header: fields("Content-Encoding", "gzip"), Body: []byte("x")},
	"cors":          {Header: fields("Access-Control-Allow-Origin", "*"), Body: []byte("x")},
	"spaced type":   {ContentType: " a/b ", Body: []byte("x")},
	"no content":    {Status: 204, Body: []byte("x"), ContentType: "a/b"},
	"unmodified":    {Status: 304, Body: []byte("x"), ContentType: "a/b", Header: fields("ETag", "1")},
	"odd status":    {Status: 599, Body: []byte("x")},
	"too many":      {Status: 429, Body: []byte("x")},
	"later":         {Status: 503, Body: []byte("x"), Header: fields("Retry-After", "7")},
	"error":         {Status: 500, ContentType: "text/plain", Body: []byte("no")},
	"informational": {Status: 101},
	"beyond":        {Status: 600},
	"bad name":      {Header: fields("X A", "1")},
	"no name":       {Header: fields("", "1")},
	"trailer":       {Header: fields("Trailer:X-A", "1")},
	"split":         {Header: fields("X-A", "1\r\nX-B: 2")},
	"split type":    {ContentType: "a/b\r\nX-B: 2"},
	"many":          {Header: slices.Repeat(fields("X-A", "1", "X-B", "2"), 20), Body: []byte("x")},
	"copied":        {Body: bytes.Repeat([]byte("x"), directCopy)},
	"large":         {Body: bytes.Repeat([]byte("x"), 3*directOut), ContentType: "a/b"},
}

// TestDirectAnswersOfWorkers: what a worker answers looks the same whichever way it goes.
func TestDirectAnswersOfWorkers(t *testing.T) {
	for _, change := range []func(*Config){nil, func(c *Config) { c.ServerTiming = true }, func(c *Config) { c.CORS = CORSConfig{Origins: []string{"https://app.example.org"}} }} {
		start := func(only bool) *Server {
			f := &fakeCaller{answer: func(_ context.Context, req *rpc.Request) (*rpc.Response, error) {
				return workers[req.Header.Get("X-Case")], nil
			}}
			return startServer(t, newTestGateway(t, f, change), func(c *ServerConfig) { c.OnlyNetHTTP = only })
		}
		ours, theirs := start(false), start(true)
		for name := range workers {
			for _, more := range []string{"", "HEAD", "Connection: close\r\n", "Origin: https://app.example.org\r\n"} {
				method := "GET"
				if more == "HEAD" {
					method, more = "HEAD", ""
				}
				request := method + " /posts HTTP/1.1\r\nHost: a\r\nX-Request-Id: r1\r\nX-Case: " + name + "\r\n" + more + "\r\n"
				if !strings.Contains(more, "close") {
					request += "GET /posts HTTP/1.1\r\nHost: a\r\nX-Request-Id: r2\r\nX-Case: empty\r\nConnection: close\r\n\r\n"
				}
				if got, want := wireAnswer(t, ours, request), wireAnswer(t, theirs, request); !slices.Equal(got, want) {
					t.Errorf("%s, %q: answered\n%.1000q\nnet/http\n%.1000q", name, request, got, want)
				}
			}
		}
	}
}

// discard is a connection of one request that comes again and again.
type discard struct {
	net.Conn
	request []byte
	answers int
	last    []byte
}

func (d *discard) Read(p []byte) (int, error) {
	if d.answers--; d.answers < 0 {
		return 0, io.EOF
	}
	return copy(p, d.request), nil
}
func (d *discard) Write(p []byte) (int, error) { d.last = append(d.last[:0], p...); return len(p), nil }
func (d *discard) Close() error                { return nil }
func (d *discard) RemoteAddr() net.Addr        { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1234} }
func (d *discard) LocalAddr() net.Addr         { return d.RemoteAddr() }

// serveDirect has n requests served by a direct connection, and returns the last answer.
func serveDirect(t testing.TB, n int) string {
	body := strings.Repeat("x", 128)
	q := &quickCaller{rpc.Response{ContentType: "application/octet-stream", Body: []byte(body), Header: fields("Content-Length", "128")}}
	g := newTestGateway(t, q, nil)
	a := newAcceptor(nil, nil, ServerConfig{})
	d := newDirect(g, &http.Server{}, a)
	conn := &discard{answers: n, request: []byte("POST /posts HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: application/octet-stream\r\nContent-Length: 128\r\n\r\n" + body)}
	c := d.conn(a.watch(&guard{Conn: conn}))
	c.serve()
	return string(conn.last)
}

func BenchmarkDirect(b *testing.B) {
	b.ReportAllocs()
	serveDirect(b, b.N)
}

// TestDirectAllocations holds a request on a direct connection to what it costs.
func TestDirectAllocations(t *testing.T) {
	const calls = 2_000
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	answer := ""
	n := testing.AllocsPerRun(1, func() { answer = serveDirect(t, calls) }) / calls
	if !strings.HasPrefix(answer, "HTTP/1.1 200 OK\r\nContent-Type: ") {
		t.Fatalf("answered %q", answer)
	}
	if limit := 3.3; n > limit {
		t.Errorf("%.2f allocations a request, want at most %.1f", n, limit)
	}
	t.Logf("%.2f allocations", n)
}
