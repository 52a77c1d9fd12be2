package gateway

import (
	"io"
	"net"
	"net/http"
	"testing"
)

// What has arrived on an idle connection is still read when it retires; after that its end.
func TestRetireReadsWhatArrived(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	g := &guard{Conn: c}
	g.arrived.Store(true)
	var gs guards
	gs.state(g, http.StateNew)
	if n := len(gs.idle()); n != 0 {
		t.Errorf("%d idle before the first request", n)
	}
	gs.state(g, http.StateIdle)
	const request = "POST / HTTP/1.1\r\n\r\n"
	if _, err := io.WriteString(client, request); err != nil {
		t.Fatal(err)
	}
	gs.retire(t.Context()) // nobody reads yet
	b, err := io.ReadAll(g)
	if err != nil || string(b) != request {
		t.Errorf("read %q, %v", b, err)
	}
	if n := len(gs.idle()); n != 0 {
		t.Errorf("%d idle although a request came", n)
	}
	gs.state(g, http.StateClosed)
	if len(gs.open) != 0 {
		t.Error("a closed connection is kept")
	}
	_ = g.Close()
}
