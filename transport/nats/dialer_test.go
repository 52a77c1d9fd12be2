package nats

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/streamerson/streamerson/internal/brokers"
)

// A server that takes connections and does not introduce itself, as one that recovers its streams: each attempt that is given
// up must end its connection, which nats.go leaves to the garbage collector.
func TestReconnectingLeavesNoConnections(t *testing.T) {
	n := server(t, brokers.NATSConfig{})
	open(t, n.URL+"?dial_timeout=100ms")
	if err := n.Kill9(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", n.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 6*within)
	defer cancel()
	context.AfterFunc(ctx, func() { _ = l.Close() })
	ended := make(chan struct{}, 5)
	for range 5 {
		c, err := l.Accept()
		if err != nil {
			t.Fatalf("no further attempt: %v", err)
		}
		go func() {
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
			ended <- struct{}{}
		}()
	}
	late := time.NewTimer(6 * within)
	defer late.Stop()
	for i := range 4 { // the fifth may be open still
		select {
		case <-ended:
		case <-late.C:
			t.Fatalf("only %d of the first 4 connections were ended", i)
		}
	}
}
