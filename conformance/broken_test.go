package conformance

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// broken is a sound driver with one fault: a function that is set takes the place of the method.
type broken struct {
	transport.Driver
	publish     func(ctx context.Context, d transport.Driver, msgs []transport.Message, results []transport.Result)
	ensure      func(ctx context.Context, d transport.Driver, specs []transport.StreamSpec) error
	receive     func(ctx context.Context, c *brokenConsumer, max int, credits []transport.Credit) ([]transport.Delivery, error)
	settle      func(ctx context.Context, c *brokenConsumer, batch []transport.Settlement, errs []error)
	lease       time.Duration
	dropOnClose bool
	leak        chan struct{}

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

func (d *broken) Close(ctx context.Context) error {
	d.mu.Lock()
	for _, c := range d.open {
		_ = c.Close(ctx)
	}
	d.open = nil
	if d.leak != nil {
		go func() { <-d.leak }()
	}
	d.mu.Unlock()
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

// What follows are the faults.

func acksFirst(ctx context.Context, c *brokenConsumer, batch []transport.Settlement, errs []error) {
	bare := make([]transport.Settlement, len(batch))
	for i, s := range batch {
		bare[i] = transport.Settlement{Delivery: s.Delivery, Verb: s.Verb, Delay: s.Delay}
	}
	c.Consumer.Settle(ctx, bare, errs)
	for i, s := range batch {
		if s.Reply != nil {
			r := make([]transport.Result, 1)
			c.d.Driver.Publish(ctx, []transport.Message{*s.Reply}, r)
			errs[i] = r[0].Err
		}
	}
}

// acksHighest acks all that was received of the stream before what it is asked to ack.
func acksHighest(ctx context.Context, c *brokenConsumer, batch []transport.Settlement, errs []error) {
	c.Consumer.Settle(ctx, batch, errs)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range batch {
		for i, x := range c.held {
			if x.ID == s.Delivery.ID && s.Verb == transport.Ack {
				c.ackAll(ctx, c.held[:i])
			}
		}
	}
}

// prefetches keeps every promise but one: it fetches one more of each stream than there is credit, and keeps it.
func prefetches(ctx context.Context, c *brokenConsumer, max int, credits []transport.Credit) ([]transport.Delivery, error) {
	more := make([]transport.Credit, len(credits))
	for i, cr := range credits {
		more[i] = transport.Credit{Stream: cr.Stream, Max: cr.Max + 1}
	}
	for {
		left := map[string]int{}
		for _, cr := range credits {
			left[cr.Stream] += cr.Max
		}
		var out, kept []transport.Delivery
		for _, x := range c.spare {
			if len(out) < max && left[x.Stream] > 0 {
				left[x.Stream]--
				out = append(out, x)
			} else {
				kept = append(kept, x)
			}
		}
		c.spare = kept
		if len(out) > 0 {
			return out, nil
		}
		ds, err := c.Consumer.Receive(ctx, max+len(credits), more)
		if err != nil {
			return nil, err
		}
		c.spare = append(c.spare, ds...)
	}
}

func ignoresZero(ctx context.Context, c *brokenConsumer, max int, credits []transport.Credit) ([]transport.Delivery, error) {
	more := make([]transport.Credit, len(credits))
	for i, cr := range credits {
		more[i] = transport.Credit{Stream: cr.Stream, Max: max}
	}
	return c.Consumer.Receive(ctx, max, more)
}

// losesCancelled lets the fetch run on when the call has ended, and drops what it brings.
func losesCancelled(ctx context.Context, c *brokenConsumer, max int, credits []transport.Credit) ([]transport.Delivery, error) {
	ds, err := c.Consumer.Receive(ctx, max, credits)
	if err == nil {
		time.Sleep(500 * time.Microsecond)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return ds, err
}

// groupAtEnd drains what a new group finds.
func groupAtEnd(ctx context.Context, d transport.Driver, specs []transport.StreamSpec) error {
	for _, sp := range specs {
		for _, g := range sp.Groups {
			if _, err := d.Lag(ctx, sp.Stream, g); err == nil {
				continue
			}
			if err := d.Ensure(ctx, []transport.StreamSpec{sp}); err != nil {
				return err
			}
			c, err := d.Join(ctx, transport.Subscription{Group: g})
			if err != nil {
				return err
			}
			for {
				if l, err := d.Lag(ctx, sp.Stream, g); err != nil || l.Waiting == 0 {
					break
				}
				ds, err := c.Receive(ctx, 100, creditsFor(100, sp.Stream))
				if err != nil {
					return err
				}
				(&brokenConsumer{Consumer: c}).ackAll(ctx, ds)
			}
			if err := c.Close(ctx); err != nil {
				return err
			}
		}
	}
	return d.Ensure(ctx, specs)
}

func publishesTwice(ctx context.Context, d transport.Driver, msgs []transport.Message, results []transport.Result) {
	d.Publish(ctx, msgs, results)
	if len(msgs) > 0 && strings.HasSuffix(string(msgs[0].Body), "50") {
		d.Publish(ctx, msgs[:1], make([]transport.Result, 1))
	}
}

// publishesLater sends after it has returned.
func publishesLater(_ context.Context, d transport.Driver, msgs []transport.Message, results []transport.Result) {
	later := append([]transport.Message(nil), msgs...)
	time.AfterFunc(20*time.Millisecond, func() {
		d.Publish(context.Background(), later, make([]transport.Result, len(later)))
	})
	for i := range results {
		results[i] = transport.Result{Outcome: transport.OutcomeAccepted}
	}
}

func claimsAccepted(ctx context.Context, d transport.Driver, msgs []transport.Message, results []transport.Result) {
	d.Publish(ctx, msgs, results)
	for i := range results {
		results[i] = transport.Result{Outcome: transport.OutcomeAccepted}
	}
}
