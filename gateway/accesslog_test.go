package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/streamerson/streamerson/rpc"
)

func TestAccessLog(t *testing.T) {
	var buf bytes.Buffer
	f := &fakeCaller{answer: func(context.Context, *rpc.Request) (*rpc.Response, error) {
		return &rpc.Response{Body: []byte("12345")}, nil
	}}
	g := newTestGateway(t, f, func(c *Config) { c.AccessLog = slog.New(slog.NewJSONHandler(&buf, nil)) })
	do(g, "GET", "/posts/7?token=secret", "", "Authorization", "Bearer secret", "Cookie", "secret", "X-Request-Id", "r1")
	var line map[string]any
	if err := json.Unmarshal(buf.Bytes(), &line); err != nil {
		t.Fatalf("%q: %v", buf.String(), err)
	}
	for k, want := range map[string]any{"method": "GET", "route": "GET /posts/{id}", "path": "/posts/7", "status": 200.0, "bytes": 5.0, "client": "192.0.2.1", "request_id": "r1"} {
		if line[k] != want {
			t.Errorf("%s is %v, want %v", k, line[k], want)
		}
	}
	if strings.Contains(buf.String(), "secret") {
		t.Errorf("a secret is in the log: %s", buf.String())
	}
}

// TestBrokenBrokerDoesNotFillTheLog: a line a second at most, without what the client isn't told being lost.
func TestBrokenBrokerDoesNotFillTheLog(t *testing.T) {
	var buf bytes.Buffer
	f := &fakeCaller{answer: func(context.Context, *rpc.Request) (*rpc.Response, error) {
		return nil, &rpc.Error{Code: rpc.CodeUnavailable, Message: "broker said no"}
	}}
	g := newTestGateway(t, f, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&buf, nil)) })
	for range 200 {
		do(g, "GET", "/posts/7", "")
	}
	if n := strings.Count(buf.String(), "\n"); n < 1 || n > 2 || !strings.Contains(buf.String(), "broker said no") {
		t.Errorf("%d lines: %s", n, buf.String())
	}
}
