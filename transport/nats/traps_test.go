package nats

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/transport"
)

// within bounds every wait for something that must happen.
const within = 5 * time.Second

type events struct {
	mu   sync.Mutex
	seen map[transport.EventKind]int64
}

func (e *events) on(x transport.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen[x.Kind] += x.N
}

func (e *events) count(k transport.EventKind) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seen[k]
}

func open(t testing.TB, raw string) (*Driver, *events) {
	t.Helper()
	e := &events{seen: map[transport.EventKind]int64{}}
	d, err := Open(t.Context(), parse(t, raw), transport.Options{Logger: slog.New(slog.DiscardHandler), OnEvent: e.on})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close(context.Background()) })
	return d.(*Driver), e
}

func ensure(t testing.TB, d *Driver, sp transport.StreamSpec) transport.Consumer {
	t.Helper()
	if err := d.Ensure(t.Context(), []transport.StreamSpec{sp}); err != nil {
		t.Fatal(err)
	}
	c, err := d.Join(t.Context(), transport.Subscription{Group: "workers"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func contextUntil(t *testing.T, at time.Time) (context.Context, context.CancelFunc) {
	return context.WithDeadline(t.Context(), at)
}

func publish(d *Driver, msgs ...transport.Message) []transport.Result {
	rs := make([]transport.Result, len(msgs))
	d.Publish(context.Background(), msgs, rs)
	return rs
}

// get receives one message and acks it.
func get(t *testing.T, c transport.Consumer, stream string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for {
		ds, err := c.Receive(ctx, 1, []transport.Credit{{Stream: stream, Max: 1}})
		if ctx.Err() != nil {
			t.Fatalf("nothing came from %s: %v", stream, err)
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		errs := make([]error, 1)
		c.Settle(ctx, []transport.Settlement{{Delivery: &ds[0], Verb: transport.Ack}}, errs)
		if errs[0] != nil {
			t.Fatal(errs[0])
		}
		return string(ds[0].Body)
	}
}

// A stream, then a consumer, is deleted under a waiting Receive: nats.go's Consume would be dead; ours goes on.
func TestDeletedLive(t *testing.T) {
	n := server(t, brokers.NATSConfig{})
	js := admin(t, n.Addr)
	for name, remove := range map[string]func() error{
		"stream":   func() error { return js.DeleteStream(context.Background(), jsStream("s")) },
		"consumer": func() error { return js.DeleteConsumer(context.Background(), jsStream("s"), token("workers")) },
	} {
		t.Run(name, func(t *testing.T) {
			d, e := open(t, n.URL+"?timeout=500ms")
			c := ensure(t, d, transport.StreamSpec{Stream: "s", Groups: []string{"workers"}})
			got := make(chan string, 1)
			go func() { got <- get(t, c, "s") }()
			time.Sleep(50 * time.Millisecond)
			if err := remove(); err != nil {
				t.Fatal(err)
			}
			deadline := time.Now().Add(within)
			for e.count(transport.EventRecreated) == 0 {
				if time.Now().After(deadline) {
					t.Fatal("it was not made again")
				}
				time.Sleep(5 * time.Millisecond)
			}
			// While the server still deletes, it may take a message and not answer: that is an Unknown, and no promise.
			for publish(d, transport.Message{Stream: "s", Body: []byte("x")})[0].Err != nil {
				if time.Now().After(deadline) {
					t.Fatal("it takes nothing")
				}
			}
			if body := <-got; body != "x" {
				t.Errorf("got %q", body)
			}
		})
	}
}

// A publish to a broker that is silent ends as Unknown in time, and what it sent is stored at most once; while the connection
// is known to be down it is refused at once, and is not stored later: nothing is kept for the reconnection.
func TestNothingIsSentLater(t *testing.T) {
	n := server(t, brokers.NATSConfig{})
	d, _ := open(t, n.URL+"?timeout=300ms")
	c := ensure(t, d, transport.StreamSpec{Stream: "s", Groups: []string{"workers"}})
	if err := n.Kill9(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(within)
	for refused := 0; refused < 20; {
		start := time.Now()
		r := publish(d, transport.Message{Stream: "s", Body: []byte("never")})[0]
		if time.Now().After(deadline) {
			t.Fatalf("after the kill: %v, %v", r.Outcome, r.Err)
		}
		if r.Outcome == transport.OutcomeRejected && transport.IsCode(r.Err, transport.CodeUnavailable) {
			if took := time.Since(start); took > 100*time.Millisecond {
				t.Errorf("refusing took %v", took)
			}
			refused++
		}
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for publish(d, transport.Message{Stream: "s", Body: []byte("after")})[0].Err != nil {
		if time.Now().After(deadline) {
			t.Fatal("it did not come back")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if got := get(t, c, "s"); got != "after" {
		t.Errorf("got %q", got)
	}
}

// What was accepted before kill -9 is there afterwards.
func TestAcceptedSurvivesKill9(t *testing.T) {
	n := server(t, brokers.NATSConfig{})
	d, _ := open(t, n.URL)
	c := ensure(t, d, transport.StreamSpec{Stream: "s", Groups: []string{"workers"}})
	const count = 500
	msgs := make([]transport.Message, count)
	for i := range msgs {
		msgs[i] = transport.Message{Stream: "s", Body: fmt.Append(nil, i)}
	}
	for _, r := range publish(d, msgs...) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if err := n.Kill9(); err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for len(seen) < count {
		seen[get(t, c, "s")] = true
	}
}

// A message with an id whose PubAck was lost with the connection is sent again, and stored once.
func TestLostPubAckIsRepeatedOnce(t *testing.T) {
	n := server(t, brokers.NATSConfig{})
	p := cutter(t, n.Addr)
	d, _ := open(t, "nats://"+p.addr)
	direct, _ := open(t, n.URL)
	c := ensure(t, direct, transport.StreamSpec{Stream: "s", Groups: []string{"workers"}})
	p.loseNextAnswer()
	rs := publish(d, transport.Message{Stream: "s", DedupID: "id-1", Body: []byte("once")})
	if rs[0].Outcome != transport.OutcomeAccepted {
		t.Fatalf("%v, %v", rs[0].Outcome, rs[0].Err)
	}
	p.loseNextAnswer()
	if rs = publish(d, transport.Message{Stream: "s", Body: []byte("no id")}); rs[0].Outcome != transport.OutcomeUnknown {
		t.Errorf("without an id: %v, %v", rs[0].Outcome, rs[0].Err)
	}
	if a, b := get(t, c, "s"), get(t, c, "s"); a != "once" || b != "no id" {
		t.Errorf("got %q, %q", a, b)
	}
	if l, err := direct.Lag(t.Context(), "s", "workers"); err != nil || l.Waiting != 0 {
		t.Errorf("lag %+v, %v", l, err)
	}
}

// proxy forwards bytes, and can drop what the server says next, with the connection.
type proxy struct {
	addr string
	mu   sync.Mutex
	cut  bool
}

func cutter(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &proxy{addr: l.Addr().String()}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			go p.forward(in, out, false)
			go p.forward(out, in, true)
		}
	}()
	return p
}

func (p *proxy) loseNextAnswer() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
}

func (p *proxy) forward(from, to net.Conn, answers bool) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		lose := answers && p.cut && strings.HasPrefix(string(buf[:n]), "MSG")
		if lose {
			p.cut = false
		}
		p.mu.Unlock()
		if lose {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// A stream keeps all until it is settled and trimmed, refuses the new when it is full, and takes a backlog that is changed later.
func TestStreamsAreMadeForTheirUse(t *testing.T) {
	n := server(t, brokers.NATSConfig{})
	js := admin(t, n.Addr)
	d, _ := open(t, n.URL)
	for _, sp := range []transport.StreamSpec{{Stream: "dead"}, {Stream: "a.b", Groups: []string{"g.1", "g.2"}, MaxBacklog: 7}} {
		if err := d.Ensure(t.Context(), []transport.StreamSpec{sp}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"dead", "a.b"} {
		s, err := js.Stream(t.Context(), jsStream(name))
		if err != nil {
			t.Fatal(err)
		}
		cfg := s.CachedInfo().Config
		if cfg.Retention != jetstream.LimitsPolicy || cfg.Discard != jetstream.DiscardNew {
			t.Errorf("%s: retention %v, discard %v", name, cfg.Retention, cfg.Discard)
		}
		if name == "a.b" && cfg.MaxMsgs != 7 {
			t.Errorf("%s: %d messages", name, cfg.MaxMsgs)
		}
	}
	if err := d.Ensure(t.Context(), []transport.StreamSpec{{Stream: "a.b", MaxBacklog: 9}}); err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), jsStream("a.b"))
	if err != nil {
		t.Fatal(err)
	}
	if cfg := s.CachedInfo().Config; cfg.MaxMsgs != 9 {
		t.Errorf("after another Ensure: %d messages", cfg.MaxMsgs)
	}
}
