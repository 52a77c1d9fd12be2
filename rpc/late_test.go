package rpc_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
	"github.com/streamerson/streamerson/transport/mem"
)

// lateDriver is a broker in memory that tells late outcomes when the test says so. publishes and settles refuse what they return an
// error for.
type lateDriver struct {
	transport.Driver
	mu        sync.Mutex
	publishes func() error
	settles   func() error
	held      []func()
	late      map[string]int // how many were taken late
	sync      map[string]int // how many were not
}

func (d *lateDriver) Capabilities() transport.Capabilities {
	c := d.Driver.Capabilities()
	c.Silence = time.Second
	return c
}

func (d *lateDriver) count(m map[string]int, what string, n int) {
	d.mu.Lock()
	m[what] += n
	d.mu.Unlock()
}

func (d *lateDriver) get(m map[string]int, what string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return m[what]
}

func (d *lateDriver) hold(to transport.Late, r transport.Result) {
	d.mu.Lock()
	d.held = append(d.held, func() { to.Told(r) })
	d.mu.Unlock()
}

// tell tells what is held, and returns how many outcomes that were.
func (d *lateDriver) tell() int {
	d.mu.Lock()
	held := d.held
	d.held = nil
	d.mu.Unlock()
	for _, f := range held {
		f()
	}
	return len(held)
}

func (d *lateDriver) Publish(ctx context.Context, msgs []transport.Message, results []transport.Result) {
	for _, m := range msgs {
		if !m.Lane {
			d.count(d.sync, "publish", 1)
		}
	}
	d.Driver.Publish(ctx, msgs, results)
}

func (d *lateDriver) PublishLate(m *transport.Message, to transport.Late) bool {
	d.count(d.late, "publish", 1)
	if d.publishes != nil {
		if err := d.publishes(); err != nil {
			d.hold(to, transport.Result{Outcome: transport.OutcomeRejected, Err: err})
			return true
		}
	}
	r := make([]transport.Result, 1)
	d.Driver.Publish(context.Background(), []transport.Message{*m}, r)
	d.hold(to, r[0])
	return true
}

func (d *lateDriver) Join(ctx context.Context, sub transport.Subscription) (transport.Consumer, error) {
	c, err := d.Driver.Join(ctx, sub)
	return &lateConsumer{c, d}, err
}

type lateConsumer struct {
	transport.Consumer
	d *lateDriver
}

func (c *lateConsumer) Settle(ctx context.Context, batch []transport.Settlement, errs []error) {
	c.d.count(c.d.sync, "settle", len(batch))
	c.Consumer.Settle(ctx, batch, errs)
}

func (c *lateConsumer) SettleLate(s *transport.Settlement, to transport.Late) bool {
	c.d.count(c.d.late, "settle", 1)
	if c.d.settles != nil {
		if err := c.d.settles(); err != nil {
			c.d.hold(to, transport.Result{Err: err})
			return true
		}
	}
	errs := make([]error, 1)
	c.Consumer.Settle(context.Background(), []transport.Settlement{*s}, errs)
	c.d.hold(to, transport.Result{Outcome: transport.OutcomeAccepted, Err: errs[0]})
	return true
}

// newLate is a client and a server over a lateDriver; stop ends the server.
func newLate(t *testing.T) (d *lateDriver, client *rpc.Client, stop func()) {
	t.Helper()
	d = &lateDriver{Driver: mem.New(), late: map[string]int{}, sync: map[string]int{}}
	s, err := rpc.NewServer(d, rpc.ServerConfig{Streams: []rpc.StreamConfig{{Name: "s"}}})
	if err != nil {
		t.Fatal(err)
	}
	s.Handle("echo", echo)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for s.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
	client, err = rpc.NewClient(t.Context(), d, rpc.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		d.tell()
		stop()
		if err := client.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return d, client, stop
}

func callLate(t *testing.T, c *rpc.Client) error {
	t.Helper()
	resp, err := c.Call(t.Context(), &rpc.Request{Stream: "s", Function: "echo", Body: []byte("x")})
	if err == nil && string(resp.Body) != "x" {
		t.Errorf("the answer is %q", resp.Body)
	}
	return err
}

// Lone calls and their answers don't wait for outcomes, also while those of earlier ones are not told yet; a one-way message does.
func TestLoneCallsDontWaitForOutcomes(t *testing.T) {
	d, c, stop := newLate(t)
	const calls = 5
	for range calls {
		if err := callLate(t, c); err != nil {
			t.Fatal(err)
		}
	}
	// The next call may come before the settlement of the last has returned: then it is not alone.
	published, settled := d.get(d.late, "publish"), d.get(d.late, "settle")
	if published == 0 || settled == 0 || published+d.get(d.sync, "publish") != calls {
		t.Errorf("of %d calls %d were published and %d settled late", calls, published, settled)
	}
	inTime := d.get(d.sync, "publish")
	if err := c.Send(t.Context(), &rpc.Request{Stream: "s", Function: "echo"}); err != nil {
		t.Fatal(err)
	}
	if n := d.get(d.sync, "publish") - inTime; n != 1 {
		t.Errorf("%d messages were published with their outcome, want the one that was sent", n)
	}
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop() }()
	select {
	case <-stopped:
		t.Error("the server ended with settlements whose outcome it didn't know")
	case <-time.After(100 * time.Millisecond):
	}
	if n := d.tell(); n != published+settled {
		t.Errorf("%d outcomes were to tell, want %d", n, published+settled)
	}
	<-stopped
}

func TestLateRejectionEndsTheCall(t *testing.T) {
	d, c, _ := newLate(t)
	d.publishes = func() error { return &transport.Error{Code: transport.CodeDenied, Op: "publish"} }
	ended := make(chan error, 1)
	go func() { ended <- callLate(t, c) }()
	for d.tell() == 0 {
		time.Sleep(time.Millisecond)
	}
	if e := wantCode(t, <-ended, rpc.CodeInternal); e.Published != transport.OutcomeRejected {
		t.Errorf("the call was %v", e.Published)
	}
}

// A settlement whose refusal is told late is tried again, and the call is answered.
func TestLateRefusalOfAReply(t *testing.T) {
	d, c, _ := newLate(t)
	asked := false
	d.settles = func() error {
		if asked {
			return nil
		}
		asked = true
		return &transport.Error{Code: transport.CodeUnavailable, Op: "settle"}
	}
	ended := make(chan error, 1)
	go func() { ended <- callLate(t, c) }()
	for {
		d.tell()
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			if n := d.get(d.sync, "settle"); n != 1 {
				t.Errorf("%d settlements were tried again, want 1", n)
			}
			return
		case <-time.After(time.Millisecond):
		}
	}
}
