package mem

import (
	"context"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// consumer implements transport.Consumer. Its state is guarded by Broker.mu.
type consumer struct {
	d     *Driver
	group string
	lease time.Duration
	wake  chan struct{} // holds one signal
	done  chan struct{} // closed with the consumer

	closed    bool
	receiving bool
	members   map[string]*member // by stream, all that it ever listed
	list      []*member          // of the last Receive, in its order
	wipes     uint64             // Broker.wipes when list was made
	round     uint64
	max       int
	blocked   bool // waits in Receive …
	woken     bool // … and was signalled
	alarm     time.Duration
	timer     *time.Timer
	taken     []taken // scratch
	ledger    transport.Ledger
}

// taken is an entry on its way into a delivery.
type taken struct {
	m       *member
	e       *entry
	attempt int
}

// Join implements transport.Driver. Consumer names are for people: two members may bear the same.
func (d *Driver) Join(ctx context.Context, sub transport.Subscription) (transport.Consumer, error) {
	if err := transport.CheckName(sub.Group); err != nil {
		return nil, err
	}
	if sub.Consumer != "" {
		if err := transport.CheckName(sub.Consumer); err != nil {
			return nil, err
		}
	}
	if sub.Lease < 0 {
		return nil, &transport.Error{Code: transport.CodeInvalid, Op: "join", Msg: "Lease is negative; give 0 for the default"}
	}
	if sub.Lease == 0 {
		sub.Lease = transport.DefaultLease
	}
	if err := d.enter(ctx, "join"); err != nil {
		return nil, err
	}
	defer d.unlock()
	c := &consumer{
		d: d, group: sub.Group, lease: sub.Lease, members: map[string]*member{},
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	d.consumers[c] = struct{}{}
	return c, nil
}

func (c *consumer) wakeUp() {
	c.woken = true
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Receive implements transport.Consumer. It takes redeliveries before new entries, and streams in the order of credits.
func (c *consumer) Receive(ctx context.Context, max int, credits []transport.Credit) ([]transport.Delivery, error) {
	if max < 1 {
		return nil, &transport.Error{Code: transport.CodeInvalid, Op: "receive", Msg: "max must be at least 1"}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b := c.d.b
	b.mu.Lock()
	defer c.d.unlock()
	if c.receiving {
		return nil, &transport.Error{Code: transport.CodeInvalid, Op: "receive", Msg: "another Receive of this consumer is running; call it from one goroutine"}
	}
	c.receiving, c.max = true, max
	defer func() { c.receiving = false }()
	stale := true
	for {
		if c.closed {
			return nil, errClosed("receive")
		}
		if p := b.faults.paused; p != nil {
			if err := c.wait(ctx, p, forever); err != nil {
				return nil, err
			}
			continue
		}
		if stale || c.wipes != b.wipes {
			if err := c.serve(credits); err != nil {
				return nil, err
			}
			stale = false
		}
		now := b.now()
		if ds := c.take(max, credits, now); len(ds) > 0 {
			return ds, nil
		}
		due := forever
		for _, m := range c.list {
			if m.credit > 0 {
				due = min(due, m.g.due())
			}
		}
		if err := c.wait(ctx, nil, due-now); err != nil {
			return nil, err
		}
	}
}

// serve makes credits the list of streams that c serves.
func (c *consumer) serve(credits []transport.Credit) error {
	b := c.d.b
	c.round++
	same := c.wipes == b.wipes && len(c.list) == len(credits)
	for i := range credits {
		if same && c.list[i].g.s.name != credits[i].Stream {
			same = false
		}
	}
	if !same {
		list := make([]*member, len(credits))
		for i, cr := range credits {
			m := c.members[cr.Stream]
			if m == nil || m.g.gone {
				g, err := c.d.group(cr.Stream, c.group, "receive")
				if err != nil {
					return err
				}
				m = &member{c: c, g: g}
				c.members[cr.Stream] = m
			}
			list[i] = m
		}
		for _, m := range c.list {
			m.listed, m.credit = false, 0
		}
		for _, m := range list {
			m.listed = true
			if !m.joined {
				m.joined = true
				m.g.members = append(m.g.members, m)
			}
		}
		for _, m := range c.list {
			if !m.listed {
				m.retire()
			}
		}
		c.list, c.wipes = list, b.wipes
	}
	for i, m := range c.list {
		if m.round != c.round {
			m.round, m.credit = c.round, 0
		}
		m.credit += max(0, credits[i].Max) // a stream that is named twice has both credits
	}
	return nil
}

// retire takes m out of its group, unless deliveries are still leased to it.
func (m *member) retire() {
	m.listed, m.credit = false, 0
	if !m.joined || m.leased.head != nil {
		return
	}
	m.joined = false
	for i, x := range m.g.members {
		if x == m {
			m.g.members = append(m.g.members[:i], m.g.members[i+1:]...)
			return
		}
	}
}

// take collects up to max entries within the credits and makes deliveries of them.
func (c *consumer) take(max int, credits []transport.Credit, now time.Duration) []transport.Delivery {
	c.taken = c.taken[:0]
	c.ledger.Reset(max, credits)
	for i, m := range c.list {
		if m.credit <= 0 {
			continue
		}
		if c.ledger.Allow(i) > 0 {
			m.g.collect(now)
		}
		redelivered := int64(0)
		for ; c.ledger.Allow(i) > 0; c.ledger.Take(i, 1) {
			e, attempt := m.g.take()
			if e == nil {
				break
			}
			if attempt > 1 {
				redelivered++
			}
			c.taken = append(c.taken, taken{m, e, attempt})
		}
		if redelivered > 0 {
			c.d.event(transport.Event{Kind: transport.EventRedelivered, Stream: m.g.s.name, N: redelivered})
		}
		if m.g.available() {
			m.g.wake(1) // what is left goes to another member
		}
	}
	if len(c.taken) == 0 {
		return nil
	}
	return c.deliver(now)
}

// deliver leases what was taken.
func (c *consumer) deliver(now time.Duration) []transport.Delivery {
	n, size := len(c.taken), 0
	for _, t := range c.taken {
		size += len(t.e.body)
	}
	buf := newArena(size)
	var ds []transport.Delivery
	var ls []lease
	if n == 1 { // the commonest size, in one allocation
		one := &struct {
			d [1]transport.Delivery
			l [1]lease
		}{}
		ds, ls = one.d[:], one.l[:]
	} else {
		ds, ls = make([]transport.Delivery, n), make([]lease, n)
	}
	for i, t := range c.taken {
		l := &ls[i]
		l.m, l.e, l.attempt = t.m, t.e, t.attempt
		t.m.g.hold(l, now)
		ds[i] = transport.Delivery{
			Stream: t.m.g.s.name, ID: t.e.id(), Body: buf.clone(t.e.body), Attempt: t.attempt, Age: now - t.e.at, Token: l,
		}
		if i == 0 || c.taken[i-1].m != t.m {
			t.m.g.alarm(l.due)
		}
	}
	clear(c.taken)
	return ds
}

// wait gives up b.mu until c is signalled, d has passed, paused is closed, or c or ctx ends. Only the last two are errors.
func (c *consumer) wait(ctx context.Context, paused chan struct{}, d time.Duration) error {
	b := c.d.b
	var tick <-chan time.Time
	c.alarm = forever
	if d < forever/2 {
		if c.timer == nil {
			c.timer = time.NewTimer(d)
		} else {
			c.timer.Reset(d)
		}
		tick, c.alarm = c.timer.C, b.now()+d
	}
	select {
	case <-c.wake: // an old signal
	default:
	}
	c.blocked, c.woken = true, false
	c.d.unlock()
	var err error
	select {
	case <-c.wake:
	case <-tick:
	case <-paused:
	case <-c.done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	b.mu.Lock()
	c.blocked = false
	if tick != nil {
		c.timer.Stop()
	}
	if err != nil && c.woken {
		c.passOn()
	}
	return err
}

// passOn gives a signal that c will not follow to another member.
func (c *consumer) passOn() {
	for _, m := range c.list {
		if m.credit > 0 {
			m.g.alarm(0)
		}
	}
}

// Close implements transport.Consumer. It does not block; unsettled deliveries are free for others at once.
func (c *consumer) Close(context.Context) error {
	c.d.b.mu.Lock()
	defer c.d.unlock()
	c.leave(true)
	return nil
}

// leave ends the membership; with free, what is unsettled is given back, otherwise it stays leased as after a crash.
func (c *consumer) leave(free bool) {
	if c.closed {
		return
	}
	c.closed = true
	close(c.done)
	delete(c.d.consumers, c)
	now := c.d.b.now()
	for _, m := range c.members {
		n := int64(0)
		for l := m.leased.head; free && l != nil; l = m.leased.head {
			m.g.unhold(l)
			l.state = stateReleased
			m.g.free(l.e, l.attempt, now, now)
			l.e = nil
			n++
		}
		m.retire()
		m.g.wake(max(n, 1)) // also for a signal that c will not follow
	}
	c.list = nil
}
