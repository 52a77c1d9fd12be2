package conformance

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/streamerson/streamerson/conformance/history"
	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
)

// The leases of workers, before Harness.Slow. steadyLease is the usual one: a machine with other work may hold up a renewal for
// longer than a second. systemLease is where a scenario waits for a lease's end, and a lease that ends early spoils nothing.
const (
	steadyLease = 3 * time.Second
	systemLease = time.Second
)

// deadGroup reads the dead letter streams.
const deadGroup = "dead-readers"

// number is a new one with each call.
func (s *system) number() int { s.serial++; return s.serial }

func itoa(n int) string { return strconv.Itoa(n) }

// system is a scenario's workers, callers and books around one stream.
type system struct {
	*Env
	admin   transport.Driver
	book    *history.Book
	caps    transport.Capabilities
	stream  string
	ledger  *ledger
	members []*member
	serial  int

	mu   sync.Mutex
	dead []*rpc.DeadLetter
	// once: no handler may begin twice for a request.
	once bool
	// storedOnce: no message may be stored twice.
	storedOnce bool
	// forgiven says why accepted requests may be lost here; "" means that they may not.
	forgiven string
}

// onSystem makes a scenario of a function of a system, after which the global rule is checked.
func onSystem(f func(*system)) func(*Env) {
	return func(e *Env) {
		s := e.system()
		f(s)
		s.globalRule()
	}
}

func (e *Env) system() *system {
	e.Helper()
	s := &system{Env: e, stream: e.name(), ledger: newLedger()}
	s.books()
	d, _ := s.recorded("admin")
	s.admin, s.caps = d, d.Capabilities()
	e.ensure(d, transport.StreamSpec{Stream: s.stream, Groups: []string{rpc.DefaultGroup}},
		transport.StreamSpec{Stream: rpc.DeadStream(s.stream), Groups: []string{deadGroup}})
	c := e.join(d, deadGroup, longLease)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.readDead(ctx, c)
	}()
	e.atEnd(func() { stop(); <-done })
	return s
}

// loses notes that accepted requests may be lost here, as the transport declares.
func (s *system) loses(why string) {
	s.forgiven = why
	s.refused("%s", why)
}

// takeoverBound is how long another worker may take to answer what a dead one held.
func (s *system) takeoverBound() time.Duration {
	if s.h.Takeover > 0 {
		return s.h.Takeover
	}
	return systemLease + 2*time.Second
}

// readDead collects the dead letters.
func (s *system) readDead(ctx context.Context, c transport.Consumer) {
	stream := rpc.DeadStream(s.stream)
	for ctx.Err() == nil {
		ds, err := c.Receive(ctx, 100, creditsFor(100, stream))
		if err != nil { // the broker may be away: that is what many scenarios are about
			time.Sleep(20 * time.Millisecond)
			continue
		}
		s.mu.Lock()
		for _, d := range ds {
			l, err := rpc.ParseDeadLetter(d.Body)
			if err != nil {
				s.Errorf("the dead letter %.40q: %v", d.Body, err)
				continue
			}
			s.dead = append(s.dead, l)
			s.ledger.bury(frameName(l.Frame))
		}
		s.mu.Unlock()
		batch := make([]transport.Settlement, len(ds))
		for i := range ds {
			batch[i] = transport.Settlement{Delivery: &ds[i], Verb: transport.Ack}
		}
		c.Settle(ctx, batch, make([]error, len(ds)))
	}
}

// frameName is what the ledger calls the request in a frame, or the frame itself when it can't be read.
func frameName(frame []byte) string {
	var env wire.Envelope
	if err := wire.Decode(&env, frame); err != nil {
		return string(frame)
	}
	return bodyName(env.Body)
}

// deadLetters returns those that have been read.
func (s *system) deadLetters() []*rpc.DeadLetter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*rpc.DeadLetter(nil), s.dead...)
}

// client makes a client on a driver of its own; it is closed with the scenario.
func (s *system) client(change func(*rpc.ClientConfig)) (*rpc.Client, *counts) {
	s.Helper()
	d, r := s.recorded("client" + itoa(s.number()))
	return s.clientOn(d, func(cfg *rpc.ClientConfig) {
		if change != nil {
			change(cfg)
		}
		r.Client(cfg)
	})
}

func (s *system) clientOn(d transport.Driver, change func(*rpc.ClientConfig)) (*rpc.Client, *counts) {
	s.Helper()
	seen := &counts{}
	cfg := rpc.ClientConfig{Timeout: s.d(4 * patience), NoWorkerWait: s.d(patientWait), Observer: seen, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := s.ctx(patience)
	defer cancel()
	c, err := rpc.NewClient(ctx, d, cfg)
	if err != nil {
		s.Fatalf("client: %v", err)
	}
	s.atEnd(func() {
		ctx, cancel := s.ctx(patience)
		defer cancel()
		if err := c.Close(ctx); err != nil && !s.Failed() {
			s.Logf("closing a client: %v", err)
		}
	})
	return c, seen
}

// patientWait is how long a client waits for a sign of life of a worker, before Harness.Slow: a worker on a machine that is
// overloaded may be silent for longer than the 700 ms that are usual. Scenarios about workers that are not there set 0.
const patientWait = patience

// request is one to the system's stream, with the time limit before Slow; 0 means the client's.
func (s *system) request(function, body string, timeout time.Duration) *rpc.Request {
	return &rpc.Request{Stream: s.stream, Function: function, Body: []byte(body), Timeout: s.d(timeout)}
}

// until polls until ok; it fails the scenario when that takes longer than within, before Slow, and slack.
func (s *system) until(within time.Duration, what string, ok func() bool) {
	s.Helper()
	bound := s.d(within) + slack
	for end := time.Now().Add(bound); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("waited %v in vain for %s", bound, what)
		}
	}
}

// slack is added to every bound on waiting: the machine may be busy with other work.
const slack = 1500 * time.Millisecond

// drained waits until nothing waits on the stream and nothing is pending, as far as the transport tells.
func (s *system) drained() {
	s.Helper()
	var last string
	s.until(6*patience, "an empty stream without pending entries", func() bool {
		ctx, cancel := s.ctx(patience)
		defer cancel()
		l, err := s.admin.Lag(ctx, s.stream, rpc.DefaultGroup)
		if now := fmt.Sprintf("%+v, %v", l, err); now != last {
			last = now
		}
		return err == nil && l.Waiting <= 0 && l.Pending <= 0
	})
}

// globalRule is what must hold at the end of every scenario: the stream drains; what was accepted was handled or is a dead
// letter; and nothing ran that nobody sent. (That each call gets at most one answer is a matter of its form.)
func (s *system) globalRule() {
	s.Helper()
	if s.Failed() {
		return
	}
	if s.forgiven != "" {
		s.Logf("losses are not counted: %s", s.forgiven)
	} else {
		s.drained()
		s.until(2*patience, "accepted requests to be handled or given up", func() bool { return len(s.ledger.lost()) == 0 })
	}
	if bad := s.ledger.invented(); len(bad) > 0 {
		s.Errorf("%d requests ran that nobody sent: %.200v", len(bad), bad)
	}
}
