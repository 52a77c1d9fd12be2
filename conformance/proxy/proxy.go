package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/rs/zerolog"
)

// dialTimeout bounds connecting to the broker for a client that has connected here.
const dialTimeout = 5 * time.Second

// Proxy is one hop. Its methods may be called concurrently.
type Proxy struct {
	addr, target string
	server       *toxiproxy.ApiServer
	toxics       *toxiproxy.ToxicCollection
	gate         *gate
	gateName     string
	wait         sync.WaitGroup
	serial       atomic.Int64

	mu       sync.Mutex
	listener net.Listener // nil while down
	open     map[*pair]bool
	most     int
	closed   bool
}

// pair is a client's connection and the one to the broker that belongs to it.
type pair struct {
	p                *Proxy
	client, upstream net.Conn
	// born is the gate's count of strikes when the connection was made. (A toxic can't tell: it may start later than the first
	// message passes.)
	born int64
	once sync.Once
}

// Start listens on a free port of loopback, for the broker at target (host:port). It connects to that only when a client
// connects here.
func Start(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	p := &Proxy{addr: l.Addr().String(), target: target, server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), open: map[*pair]bool{}}
	p.gate, p.gateName = newGate(p.endAll)
	p.toxics = toxiproxy.NewProxy(p.server, "conformance", p.addr, target).Toxics
	for _, direction := range []string{"upstream", "downstream"} {
		if err := p.add(gateType, direction, map[string]any{"gate": p.gateName, "downstream": direction == "downstream"}); err != nil {
			_ = l.Close()
			return nil, err
		}
	}
	p.accept(l)
	return p, nil
}

// Addr is where clients connect, for the proxy's whole life.
func (p *Proxy) Addr() string { return p.addr }

// add puts a toxic at the end of the chain of one direction, for connections that are open as well.
func (p *Proxy) add(kind, direction string, attributes map[string]any) error {
	text, err := json.Marshal(map[string]any{"type": kind, "stream": direction, "name": kind + direction, "attributes": attributes})
	if err == nil {
		_, err = p.toxics.AddToxicJson(bytes.NewReader(text))
	}
	if err != nil {
		return fmt.Errorf("proxy: toxic %s: %w", kind, err)
	}
	return nil
}

func (p *Proxy) both(kind string, attributes map[string]any) error {
	for _, direction := range []string{"upstream", "downstream"} {
		if err := p.add(kind, direction, attributes); err != nil {
			return err
		}
	}
	return nil
}

// Latency delays what passes by mean ± jitter, in each direction, without changing its order. Both are rounded to milliseconds.
// It can be called once.
func (p *Proxy) Latency(mean, jitter time.Duration) error {
	return p.both("latency", map[string]any{"latency": mean.Milliseconds(), "jitter": jitter.Milliseconds()})
}

// Slice passes on at most n bytes at once, in each direction. It can be called once.
func (p *Proxy) Slice(n int) error {
	return p.both("slicer", map[string]any{"average_size": n, "size_variation": 0, "delay": 0})
}

func (p *Proxy) accept(l net.Listener) {
	p.mu.Lock()
	p.listener = l
	p.mu.Unlock()
	p.wait.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.wait.Go(func() { p.serve(client) })
		}
	})
}

func (p *Proxy) serve(client net.Conn) {
	upstream, err := net.DialTimeout("tcp", p.target, dialTimeout)
	if err != nil {
		_ = client.Close()
		return
	}
	c := &pair{p: p, client: client, upstream: upstream, born: p.gate.born.Load()}
	p.mu.Lock()
	if p.listener == nil { // it went down, or was closed, meanwhile
		p.mu.Unlock()
		c.end(false)
		return
	}
	p.open[c] = true
	p.most = max(p.most, len(p.open))
	p.mu.Unlock()
	name := strconv.FormatInt(p.serial.Add(1), 10)
	p.wait.Add(2)
	p.toxics.StartLink(p.server, name+"up", client, &end{pair: c, to: upstream}, stream.Upstream)
	p.toxics.StartLink(p.server, name+"down", upstream, &end{pair: c, to: client, down: true}, stream.Downstream)
}

// end is where a direction's bytes go. It takes them even when the connection is gone: toxiproxy stops reading a link whose
// writer fails, and what stands before it would wait for ever.
type end struct {
	pair *pair
	to   net.Conn
	down bool // to the client
}

func (e *end) Write(b []byte) (int, error) {
	if e.down && e.pair.born < e.pair.p.gate.muted.Load() {
		return len(b), nil
	}
	_, _ = e.to.Write(b) // see above
	return len(b), nil
}

func (e *end) Close() error {
	e.pair.end(false)
	e.pair.p.wait.Done()
	return nil
}

// end closes both connections; with reset, so that the other sides see a reset rather than an orderly end.
func (c *pair) end(reset bool) {
	c.once.Do(func() {
		for _, conn := range []net.Conn{c.client, c.upstream} {
			if t, ok := conn.(*net.TCPConn); ok && reset {
				_ = t.SetLinger(0) // the connection may be gone already
			}
			_ = conn.Close()
		}
		c.p.mu.Lock()
		delete(c.p.open, c)
		c.p.mu.Unlock()
	})
}

// Connections tells how many clients are connected, and the most there were at once.
func (p *Proxy) Connections() (now, most int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.open), p.most
}

// Cut resets all connections. New ones are taken at once.
func (p *Proxy) Cut() { p.endAll(true) }

func (p *Proxy) endAll(reset bool) {
	p.mu.Lock()
	open := make([]*pair, 0, len(p.open))
	for c := range p.open {
		open = append(open, c)
	}
	p.mu.Unlock()
	for _, c := range open {
		c.end(reset)
	}
}

// Down resets all connections and refuses new ones, until Up.
func (p *Proxy) Down() {
	p.mu.Lock()
	l := p.listener
	p.listener = nil
	p.mu.Unlock()
	if l != nil {
		_ = l.Close()
	}
	p.endAll(true)
}

// Up takes connections again, on the same port.
func (p *Proxy) Up() error {
	p.mu.Lock()
	up := p.listener != nil || p.closed
	p.mu.Unlock()
	if up {
		return nil
	}
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		return fmt.Errorf("proxy: %w", err)
	}
	p.accept(l)
	return nil
}

// Silence drops all that passes, in both directions, and keeps the connections: it looks as if the other side's machine had
// gone. New connections are taken, and are as silent. Heal lets bytes pass again, on new connections: those that
// lost some are reset.
func (p *Proxy) Silence() { p.gate.silent.Store(true) }

// Heal ends Silence.
func (p *Proxy) Heal() {
	p.Cut()
	p.gate.silent.Store(false)
	p.Cut() // those that came in between
}

// Close ends all connections and returns when nothing of the proxy runs any more.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Down()
	p.gate.close()
	p.wait.Wait()
	gates.Delete(p.gateName)
}
