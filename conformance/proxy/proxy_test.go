package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// broker answers with what it gets, and remembers what it got.
type broker struct {
	net.Listener
	mu  sync.Mutex
	got bytes.Buffer
}

func newBroker(t *testing.T) *broker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{Listener: l}
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wait.Go(func() { b.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wait.Wait()
	})
	return b
}

func (b *broker) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		b.mu.Lock()
		b.got.Write(buf[:n])
		b.mu.Unlock()
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (b *broker) heard(s string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Contains(b.got.String(), s)
}

func start(t *testing.T) (*Proxy, *broker) {
	t.Helper()
	b := newBroker(t)
	p, err := Start(b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, b
}

type client struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func dial(t *testing.T, p *Proxy) *client {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &client{c, t, bufio.NewReader(c)}
}

// say writes; the connection may be gone.
func (c *client) say(s string) { _, _ = io.WriteString(c, s) }

func (c *client) hear(within time.Duration) (string, error) {
	_ = c.SetReadDeadline(time.Now().Add(within))
	return c.r.ReadString('\n')
}

const long = 10 * time.Second

func (c *client) echoes(s string) {
	c.t.Helper()
	c.say(s + "\n")
	if got, err := c.hear(long); err != nil || got != s+"\n" {
		c.t.Errorf("said %.20q, heard %.20q, %v", s, got, err)
	}
}

func (c *client) ended() {
	c.t.Helper()
	if got, err := c.hear(long); err == nil || errors.Is(err, syscall.EAGAIN) || isTimeout(err) {
		c.t.Errorf("the connection lives: heard %q, %v", got, err)
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func TestPasses(t *testing.T) {
	p, _ := start(t)
	dial(t, p).echoes(strings.Repeat("x", 1<<20))
	a, b := dial(t, p), dial(t, p)
	a.echoes("a")
	b.echoes("b")
	if _, most := p.Connections(); most < 2 {
		t.Errorf("at most %d connections at once", most)
	}
}

func TestLatencyAndSlices(t *testing.T) {
	p, _ := start(t)
	if err := errors.Join(p.Latency(100*time.Millisecond, 50*time.Millisecond), p.Slice(1)); err != nil {
		t.Fatal(err)
	}
	c := dial(t, p)
	began := time.Now()
	c.echoes("a message in single bytes")
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("two ways of at least 50 ms took %v", took)
	}
}

func TestCutDownUp(t *testing.T) {
	p, _ := start(t)
	c := dial(t, p)
	c.echoes("x")
	p.Cut()
	c.ended()
	c = dial(t, p)
	c.echoes("y")
	p.Down()
	c.ended()
	if _, err := net.Dial("tcp", p.Addr()); err == nil {
		t.Error("it takes connections while down")
	}
	if err := p.Up(); err != nil {
		t.Fatal(err)
	}
	dial(t, p).echoes("z")
}

// TestCutInFullFlow: a cut while both directions are full leaves nothing behind.
func TestCutInFullFlow(t *testing.T) {
	p, _ := start(t)
	for range 5 {
		c := dial(t, p)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				if _, err := io.WriteString(c, strings.Repeat("x", 1000)+"\n"); err != nil {
					return
				}
			}
		}()
		if _, err := c.hear(long); err != nil {
			t.Error(err)
		}
		p.Cut()
		<-done
	}
}

func TestSilence(t *testing.T) {
	p, b := start(t)
	old := dial(t, p)
	old.echoes("before")
	p.Silence()
	fresh := dial(t, p)
	for _, c := range []*client{old, fresh} {
		c.say("lost\n")
		if got, err := c.hear(100 * time.Millisecond); !isTimeout(err) {
			t.Errorf("heard %q, %v", got, err)
		}
	}
	p.Heal()
	old.ended()
	dial(t, p).echoes("after")
	if b.heard("lost") {
		t.Error("the broker heard what was said in silence")
	}
}

func TestStrikes(t *testing.T) {
	for _, c := range []struct {
		name   string
		strike Strike
		heard  string // by the broker
	}{{"lose the answer", LoseAnswer, "begin MARKED end\n"}, {"lose the message", LoseMessage, ""}, {"cut the message", CutMessage, "begin MAR"}} {
		t.Run(c.name, func(t *testing.T) {
			p, b := start(t)
			other, struck := dial(t, p), dial(t, p)
			other.echoes("other")
			p.Arm("MARKED", c.strike)
			struck.say("begin MARKED end\n")
			if got, err := struck.hear(long); err == nil || isTimeout(err) {
				t.Errorf("heard %q, %v", got, err)
			}
			other.ended()
			if p.Struck() != 1 {
				t.Errorf("struck %d times", p.Struck())
			}
			if !b.heard(c.heard) || c.strike != LoseAnswer && b.heard("KED") {
				t.Errorf("the broker heard %q", b.got.String())
			}
			dial(t, p).echoes("MARKED")
		})
	}
}
