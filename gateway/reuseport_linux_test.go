package gateway

import (
	"net"
	"testing"
	"time"
)

// TestSteering: a listener that leaves knows its place in the kernel's list and has all new connections go elsewhere; one
// that joins gets its share.
func TestSteering(t *testing.T) {
	f := &fakeCaller{}
	start := func(addr string) *Server {
		return startServer(t, newTestGateway(t, f, nil), func(c *ServerConfig) { c.Addr, c.ReusePort = addr, true })
	}
	a := start("127.0.0.1:0")
	addr := a.Addr().String()
	b := start(addr)
	count := func(servers ...*Server) []int {
		for _, s := range servers {
			s.accept.probed.Clear()
			s.accept.probing.Store(true)
		}
		for range 40 {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		time.Sleep(50 * time.Millisecond)
		out := make([]int, len(servers))
		for i, s := range servers {
			s.accept.probing.Store(false)
			s.accept.probed.Range(func(any, any) bool { out[i]++; return true })
		}
		return out
	}
	if n := count(a, b); n[0] == 0 || n[1] == 0 {
		t.Fatalf("before: %v", n)
	}
	a.accept.steerAway()
	if n := count(a, b); n[0] != 0 || n[1] != 40 {
		t.Errorf("while the first leaves: %v", n)
	}
	c := start(addr)
	if n := count(a, b, c); n[0] == 0 || n[1] == 0 || n[2] == 0 {
		t.Errorf("a new one joined: %v", n)
	}
	b.accept.steerAway()
	if n := count(a, b, c); n[1] != 0 || n[0]+n[2] != 40 {
		t.Errorf("while the second leaves: %v", n)
	}
	_ = b.Close()
	c.accept.steerAway()
	_ = c.Close()
	if n := count(a); n[0] != 40 {
		t.Errorf("one is left: %v", n)
	}
	a.accept.steerAway()
	if n := count(a); n[0] != 40 {
		t.Errorf("the only one leaves: %v", n)
	}
}
