package redis

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy stands between driver and broker. It can swallow the broker's answers and cut connections.
type proxy struct {
	addr    string
	target  string
	swallow atomic.Bool // what the broker answers is dropped, and the connection then cut
	mu      sync.Mutex
	conns   []net.Conn
}

func newProxy(t testing.TB, target string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), target: target}
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p
}

func (p *proxy) serve(c net.Conn) {
	b, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = c.Close()
		return
	}
	p.mu.Lock()
	p.conns = append(p.conns, c, b)
	p.mu.Unlock()
	go func() {
		_, _ = io.Copy(b, c)
		_ = b.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := b.Read(buf)
		if err != nil || p.swallow.Load() {
			break
		}
		if _, err := c.Write(buf[:n]); err != nil {
			break
		}
	}
	_ = c.Close()
	_ = b.Close()
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}
