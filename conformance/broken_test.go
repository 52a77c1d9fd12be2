package conformance

import (
	"context"
	"sync"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// broken is a sound driver with one fault: a function that is set takes the place of the method.
type broken struct {
	transport.Driver
	publish     func(ctx context.Context, d transport.Driver, msgs []transport.Message, results []transport.Result)
	late        func(d *broken, m *transport.Message, to transport.Late) bool
	settleLate  func(c *brokenConsumer, s *transport.Settlement, to transport.Late) bool
	ensure      func(ctx context.Context, d transport.Driver, specs []transport.StreamSpec) error
	receive     func(ctx context.Context, c *brokenConsumer, max int, credits []transport.Credit) ([]transport.Delivery, error)
	settle      func(ctx context.Context, c *brokenConsumer, batch []transport.Settlement, errs []error)
	tail        func(ctx context.Context, d *broken, spec transport.TailSpec) (transport.Tailer, error)
	closing     func() // called first when it is closed
	lease       time.Duration
	dropOnClose bool
	leak        chan struct{}
	dead        func() bool // whether the broker was wiped since this driver was opened

	telling sync.WaitGroup // those who tell a late outcome

	mu   sync.Mutex
	open []*brokenConsumer
}

type brokenConsumer struct {
	transport.Consumer
	d *broken

	mu    sync.Mutex
	held  []transport.Delivery // all that was received
	spare []transport.Delivery // prefetched
}

func (d *broken) Publish(ctx context.Context, msgs []transport.Message, results []transport.Result) {
	if d.publish != nil {
		d.publish(ctx, d.Driver, msgs, results)
		return
	}
	d.Driver.Publish(ctx, msgs, results)
}

// PublishLate is sound without a fault, and late by one goroutine's start.
func (d *broken) PublishLate(m *transport.Message, to transport.Late) bool {
	if d.late != nil {
		return d.late(d, m, to)
	}
	r := make([]transport.Result, 1)
	d.Publish(context.Background(), []transport.Message{*m}, r)
	if transport.IsCode(r[0].Err, transport.CodeClosed) {
		return false
	}
	d.tell(to, r[0])
	return true
}

// tell tells in a goroutine of the driver's own, which Close waits for.
func (d *broken) tell(to transport.Late, r transport.Result) { d.telling.Go(func() { to.Told(r) }) }

// SettleLate is sound without a fault.
func (c *brokenConsumer) SettleLate(s *transport.Settlement, to transport.Late) bool {
	if c.d.settleLate != nil {
		return c.d.settleLate(c, s, to)
	}
	errs := make([]error, 1)
	c.Settle(context.Background(), []transport.Settlement{*s}, errs)
	r := transport.Result{Err: errs[0]}
	if r.Err == nil {
		r.Outcome = transport.OutcomeAccepted
	}
	c.d.tell(to, r)
	return true
}

func (d *broken) Ensure(ctx context.Context, specs []transport.StreamSpec) error {
	if d.ensure != nil {
		return d.ensure(ctx, d.Driver, specs)
	}
	return d.Driver.Ensure(ctx, specs)
}

func (d *broken) Join(ctx context.Context, sub transport.Subscription) (transport.Consumer, error) {
	if d.lease > 0 {
		sub.Lease = d.lease
	}
	c, err := d.Driver.Join(ctx, sub)
	if err != nil {
		return nil, err
	}
	b := &brokenConsumer{Consumer: c, d: d}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = append(d.open, b)
	return b, nil
}

func (d *broken) Tail(ctx context.Context, spec transport.TailSpec) (transport.Tailer, error) {
	if d.tail != nil {
		return d.tail(ctx, d, spec)
	}
	return d.Driver.Tail(ctx, spec)
}

func (d *broken) Close(ctx context.Context) error {
	if d.closing != nil {
		d.closing()
	}
	d.mu.Lock()
	for _, c := range d.open {
		_ = c.Close(ctx)
	}
	d.open = nil
	if d.leak != nil {
		go func() { <-d.leak }()
	}
	d.mu.Unlock()
	d.telling.Wait()
	return d.Driver.Close(ctx)
}

func (c *brokenConsumer) Receive(ctx context.Context, max int, credits []transport.Credit) ([]transport.Delivery, error) {
	receive := c.d.receive
	if receive == nil {
		receive = func(ctx context.Context, c *brokenConsumer, max int, credits []transport.Credit) ([]transport.Delivery, error) {
			return c.Consumer.Receive(ctx, max, credits)
		}
	}
	ds, err := receive(ctx, c, max, credits)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = append(c.held, ds...)
	return ds, err
}

func (c *brokenConsumer) Settle(ctx context.Context, batch []transport.Settlement, errs []error) {
	if c.d.settle != nil {
		c.d.settle(ctx, c, batch, errs)
		return
	}
	c.Consumer.Settle(ctx, batch, errs)
}

func (c *brokenConsumer) Close(ctx context.Context) error {
	if c.d.dropOnClose {
		c.mu.Lock()
		c.ackAll(ctx, c.held)
		c.mu.Unlock()
	}
	return c.Consumer.Close(ctx)
}

func (c *brokenConsumer) ackAll(ctx context.Context, ds []transport.Delivery) {
	for i := range ds {
		c.Consumer.Settle(ctx, []transport.Settlement{{Delivery: &ds[i], Verb: transport.Ack}}, make([]error, 1))
	}
}
