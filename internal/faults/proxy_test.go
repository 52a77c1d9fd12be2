package faults

import (
	"bytes"
	"net"
	"sync"
	"testing"
)

// fault is what a proxy does, once, to the connection that carries a marked command.
type fault uint8

const (
	// swallowReply lets the broker do the command, and cuts the connection in place of its answer.
	swallowReply fault = iota + 1
	// swallowCommand cuts the connection before the broker sees the command.
	swallowCommand
)

// proxy is a TCP hop before a broker.
type proxy struct {
	url    string
	target string

	mu    sync.Mutex
	mark  []byte
	fault fault
	hits  int
}

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	p := &proxy{url: "redis://" + l.Addr().String(), target: target}
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

// arm makes the next write that holds mark suffer f.
func (p *proxy) arm(mark string, f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mark, p.fault = []byte(mark), f
}

// strike returns the fault for a chunk, and disarms.
func (p *proxy) strike(chunk []byte) fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault == 0 || !bytes.Contains(chunk, p.mark) {
		return 0
	}
	f := p.fault
	p.fault = 0
	p.hits++
	return f
}

func (p *proxy) struck() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hits
}

func (p *proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	broker, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer func() { _ = broker.Close() }()
	var mu sync.Mutex
	swallow := false
	go func() {
		defer func() { _ = client.Close() }()
		buf := make([]byte, 64<<10)
		for {
			n, err := broker.Read(buf)
			mu.Lock()
			cut := swallow
			mu.Unlock()
			if err != nil || cut {
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		switch p.strike(buf[:n]) {
		case swallowCommand:
			return
		case swallowReply:
			mu.Lock()
			swallow = true
			mu.Unlock()
		}
		if _, err := broker.Write(buf[:n]); err != nil {
			return
		}
	}
}
