package kafka

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// primeLimit bounds how long the Receive that joins a stream waits for it alone: a rebalance among others takes about as long.
const primeLimit = 2 * time.Second

// consumer is one member of one of our groups. What it has of each stream comes through the process's member of Kafka's group.
type consumer struct {
	d      *Driver
	group  string
	ready  chan struct{} // capacity 1
	gone   chan struct{}
	closed atomic.Bool
	// inReceive guards what follows; Close waits for it.
	inReceive sync.Mutex
	members   map[string]*member
	ledger    transport.Ledger
}

// Join only makes the consumer: Kafka's groups are joined for each stream when Receive first names it. The lease is not kept:
// see the package's comment.
func (d *Driver) Join(_ context.Context, sub transport.Subscription) (transport.Consumer, error) {
	if err := d.check("join"); err != nil {
		return nil, err
	}
	if err := transport.CheckName(sub.Group); err != nil {
		return nil, failMsg(transport.CodeInvalid, "join", "", "group: "+nameMsg(err))
	}
	if sub.Consumer != "" {
		if err := transport.CheckName(sub.Consumer); err != nil {
			return nil, failMsg(transport.CodeInvalid, "join", "", "consumer: "+nameMsg(err))
		}
	}
	c := &consumer{d: d, group: strings.Clone(sub.Group), ready: make(chan struct{}, 1), gone: make(chan struct{}), members: map[string]*member{}}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, failMsg(transport.CodeClosed, "join", "", "the driver is closed")
	}
	d.consumers[c] = true
	return c, nil
}

// lookup is a search for a group that runs, whoever still waits for it.
type lookup struct {
	done chan struct{}
	err  error
}

// attach returns the process's member for a stream, joining when it is the first to want it. Only ctx's end is not an *Error.
func (d *Driver) attach(ctx context.Context, c *consumer, stream string) (*member, error) {
	if err := checkStream("receive", stream); err != nil {
		return nil, err
	}
	key := groupID(c.group, stream)
	for {
		d.mu.Lock()
		if d.closed {
			d.mu.Unlock()
			return nil, failMsg(transport.CodeClosed, "receive", stream, "the driver is closed")
		}
		if m := d.members[key]; m != nil {
			m.mu.Lock()
			m.consumers[c] = true
			m.mu.Unlock()
			d.mu.Unlock()
			return m, nil
		}
		l := d.lookups[key]
		if l == nil {
			// A caller that waits a millisecond and calls again must get on as well: the search isn't bound to its context.
			l = &lookup{done: make(chan struct{})}
			d.lookups[key] = l
			name := strings.Clone(stream)
			d.bgWait.Go(func() { d.look(l, c, name) })
		}
		d.mu.Unlock()
		select {
		case <-l.done:
		case <-c.gone:
			return nil, failMsg(transport.CodeClosed, "receive", stream, "the consumer is closed")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if l.err != nil {
			return nil, opError("receive", stream, l.err)
		}
	}
}

// look makes the member, for c, if the group exists: only Ensure makes groups.
func (d *Driver) look(l *lookup, c *consumer, stream string) {
	group := c.group
	ctx, cancel := context.WithTimeout(d.bg, 2*d.set.timeout)
	defer cancel()
	leaders, err := d.cl.leaders(ctx, stream)
	if err == nil {
		var have map[int32]committed
		have, err = d.offsets(ctx, group, stream, min(len(leaders), 1))
		if err == nil && have[0].offset < 0 {
			err = failMsg(transport.CodeNotFound, "receive", stream, "the group "+group+" was not ensured for it")
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	key := groupID(group, stream)
	delete(d.lookups, key)
	// A member without a consumer would own partitions and serve none: Close finds the ones that have c.
	if l.err = err; err == nil && !d.closed && !c.closed.Load() && d.members[key] == nil {
		m := d.newMember(group, stream)
		m.mu.Lock()
		m.consumers[c] = true
		m.mu.Unlock()
		d.members[key] = m
	}
	close(l.done)
}

// detach takes c from a member, gives back what it holds, and ends the member when it was the last.
func (d *Driver) detach(c *consumer, m *member) (last bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m.mu.Lock()
	delete(m.consumers, c)
	last = len(m.consumers) == 0
	if !last {
		for _, p := range m.parts {
			for _, h := range p.held {
				if h.c == c {
					p.release(h, 0)
				}
			}
		}
	}
	m.mu.Unlock()
	if last {
		delete(d.members, m.kafka)
		m.cancel()
	} else {
		m.wake()
	}
	return last
}

// Receive takes from what the members have read, in the order of credits.
func (c *consumer) Receive(ctx context.Context, limit int, credits []transport.Credit) ([]transport.Delivery, error) {
	c.inReceive.Lock()
	defer c.inReceive.Unlock()
	if err := c.open("receive"); err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, failMsg(transport.CodeInvalid, "receive", "", "max is less than 1")
	}
	if err := c.serve(ctx, credits); err != nil {
		return nil, err
	}
	for _, m := range c.members {
		m.fail(nil) // what failed before is of no interest: it is tried again all the time
	}
	for {
		out, due, err := c.take(limit, credits)
		if len(out) > 0 {
			return out, nil
		}
		if err == nil {
			err = c.open("receive")
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		c.wait(ctx, due)
	}
}

// wait returns when there may be something, or ctx ends, or the consumer is closed.
func (c *consumer) wait(ctx context.Context, due time.Time) {
	var timer <-chan time.Time
	if !due.IsZero() {
		t := time.NewTimer(time.Until(due))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-c.ready:
	case <-timer:
	case <-ctx.Done():
	case <-c.gone:
	}
}

func (c *consumer) open(op string) error {
	if c.closed.Load() {
		return failMsg(transport.CodeClosed, op, "", "the consumer is closed")
	}
	return c.d.check(op)
}

// serve joins what credits name and leaves what they no longer do, once nothing of it is held any more.
func (c *consumer) serve(ctx context.Context, credits []transport.Credit) error {
	joined := false
	for _, cr := range credits {
		if c.members[cr.Stream] != nil {
			continue
		}
		m, err := c.d.attach(ctx, c, cr.Stream)
		if err != nil {
			return err
		}
		c.members[m.stream] = m
		joined = true
	}
	if joined {
		c.prime(ctx)
	}
	if len(c.members) == len(credits) {
		return nil
	}
	for s, m := range c.members {
		if !slices.ContainsFunc(credits, func(cr transport.Credit) bool { return cr.Stream == s }) && m.heldNow() == 0 {
			delete(c.members, s)
			c.d.detach(c, m)
		}
	}
	return nil
}

// prime waits a little for streams that were just joined: the first in credits comes first only when all are there.
func (c *consumer) prime(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, primeLimit)
	defer cancel()
	for _, m := range c.members {
		for !m.primed() {
			select {
			case <-c.ready:
			case <-c.gone:
				return
			case <-ctx.Done():
				return
			}
		}
	}
	signal(c.ready)
}

func (m *member) primed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.active && !slices.ContainsFunc(m.parts, func(p *part) bool { return !p.primed })
}

// take returns what the credits allow; due is when a released delivery goes out next.
func (c *consumer) take(limit int, credits []transport.Credit) (out []transport.Delivery, due time.Time, err error) {
	c.ledger.Reset(limit, credits)
	for i, cr := range credits {
		n := c.ledger.Allow(i)
		if n == 0 {
			continue
		}
		m := c.members[cr.Stream]
		before := len(out)
		var at time.Time
		var sync bool
		out, at, sync = m.take(out, n, c)
		c.ledger.Take(i, len(out)-before)
		if !at.IsZero() && (due.IsZero() || at.Before(due)) {
			due = at
		}
		if sync {
			// The first of a new owner: if they kill the process, the next owner has to know that they were delivered.
			_ = m.commit(m.ctx, false)
		}
		m.mu.Lock()
		if m.failed != nil && err == nil {
			err = opError("receive", m.stream, m.failed)
			m.failed = nil
		}
		m.mu.Unlock()
	}
	return out, due, err
}

// take appends at most n deliveries.
func (m *member) take(out []transport.Delivery, n int, c *consumer) (_ []transport.Delivery, due time.Time, sync bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.active || len(m.parts) == 0 {
		return out, due, false
	}
	now := time.Now()
	m.turn++
	for k := range m.parts {
		p := m.parts[(m.turn+k)%len(m.parts)]
		for n > 0 {
			e, ok := p.pop(now)
			if !ok {
				break
			}
			out = append(out, p.deliver(e, c))
			n--
			sync = sync || p.fresh
			p.fresh = false
		}
		for _, e := range p.retry {
			if due.IsZero() || e.due.Before(due) {
				due = e.due
			}
		}
	}
	m.kick()
	return out, due, sync
}

// Close leaves the groups of which this was the process's last consumer.
func (c *consumer) Close(ctx context.Context) error {
	if !c.closed.CompareAndSwap(false, true) {
		return nil
	}
	close(c.gone)
	c.inReceive.Lock() // Receive has returned
	defer c.inReceive.Unlock()
	var ours, ending []*member
	c.d.mu.Lock()
	delete(c.d.consumers, c)
	for _, m := range c.d.members {
		m.mu.Lock()
		if m.consumers[c] {
			ours = append(ours, m)
		}
		m.mu.Unlock()
	}
	c.d.mu.Unlock()
	for _, m := range ours {
		if c.d.detach(c, m) {
			ending = append(ending, m)
		}
	}
	for _, m := range ending {
		select {
		case <-m.done:
		case <-ctx.Done():
			return fail("close", m.stream, ctx.Err())
		}
	}
	return nil
}

// signal sets a flag that one waiter looks at.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
