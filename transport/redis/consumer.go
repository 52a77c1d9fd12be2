package redis

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamerson/streamerson/transport"
)

const (
	// presenceTTL is how long a consumer counts as live after its last sign of life, presenceEvery how often it gives one.
	presenceTTL   = 2 * time.Second
	presenceEvery = 500 * time.Millisecond
	// tidyEvery is how often the dead are taken out of the sets of signs, and presenceKept how long a set stays that nobody writes.
	tidyEvery    = 10 * time.Second
	presenceKept = 30 * time.Second
	// maxClaimEvery bounds the pause between looks for deliveries whose lease ran out.
	maxClaimEvery = 500 * time.Millisecond
	minLease      = 100 * time.Millisecond
)

// consumer is one member of a group, with a blocking connection of its own.
type consumer struct {
	d     *Driver
	group string
	name  string
	lease time.Duration
	link  *link
	bell  bell

	gone   chan struct{}
	closed atomic.Bool
	// inRead guards the parts of Receive, which one goroutine uses at a time; Close waits for it.
	inRead sync.Mutex

	// What follows belongs to Receive.
	byName    map[string]*consumerStream
	byKey     map[string]int
	wants     []want
	active    []transport.Credit // what wants are made of
	ledger    transport.Ledger
	nextSweep int64 // by mono
	// Parts of wants and active.
	hotWants, part, more              []want
	hotActive, partActive, moreActive []transport.Credit
	args                              []any
	entries                           []entry
	busy                              bool // several streams may have messages: read exact counts first
	restored                          time.Time
	failedAt                          time.Time
	reading                           atomic.Int64 // odd while a read blocks, and different for each: a wake-up hits the one it is meant for
	nextClaim                         atomic.Int64 // by mono
	// readAt is when the last read was sent, by mono. Leases count from there: a process that is stopped between a delivery
	// and its arrival here must not believe in a fresh lease.
	readAt int64

	mu     sync.Mutex
	served []*consumerStream // the streams of the last credits list, for presence
	left   []*consumerStream // were served, and have to be taken off
}

// consumerStream is one stream as this consumer sees it.
type consumerStream struct {
	c      *consumer
	st     *streamState
	cursor string
	served bool // it is in consumer.served
	// busyUntil, by mono: it brought much lately. See many.go.
	busyUntil int64
	rung      bool // it may have something. See bell.go.
}

// token is a Delivery's Token.
type token struct {
	cs *consumerStream
	// leased is when the lease began at the earliest, by mono.
	leased atomic.Int64
	bytes  int
}

// want is one stream with credit: n in all, own of them in slots of its own.
type want struct {
	cs     *consumerStream
	n, own int
}

// Join opens the consumer's connection. One connection for each Join: a process that needs one group needs one.
func (d *Driver) Join(_ context.Context, sub transport.Subscription) (transport.Consumer, error) {
	if err := d.check("join"); err != nil {
		return nil, err
	}
	if err := transport.CheckName(sub.Group); err != nil {
		return nil, failMsg(transport.CodeInvalid, "join", "", "group: "+nameMsg(err))
	}
	c := &consumer{
		d: d, group: sub.Group, name: sub.Consumer, lease: sub.Lease, gone: make(chan struct{}),
		byName: map[string]*consumerStream{}, byKey: map[string]int{}, busy: true,
	}
	if c.name == "" {
		c.name = "c-" + newInstance()
	}
	if err := transport.CheckName(c.name); err != nil {
		return nil, failMsg(transport.CodeInvalid, "join", "", "consumer: "+nameMsg(err))
	}
	if c.lease == 0 {
		c.lease = transport.DefaultLease
	}
	if c.lease < minLease {
		return nil, failMsg(transport.CodeInvalid, "join", "", "a lease of "+c.lease.String()+" is too short; at least "+minLease.String()+" is needed")
	}
	// Others see from the name when what this consumer holds is free for them.
	c.name += "@" + strconv.FormatInt(c.lease.Milliseconds(), 10) + "ms"
	c.link = openLink(d.set, true)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		_ = c.link.close()
		return nil, failMsg(transport.CodeClosed, "join", "", "the driver is closed")
	}
	d.consumers[c] = true
	return c, nil
}

// claimEvery is a quarter of the lease, at most half a second.
func (c *consumer) claimEvery() time.Duration { return min(c.lease/4, maxClaimEvery) }

// claimSoon makes the next Receive, or a blocked one at its next turn, look for free deliveries.
func (c *consumer) claimSoon() { c.nextClaim.Store(0) }

// take turns the credits into what to read, in their order, and keeps the list of what is served.
func (c *consumer) take(limit int, credits []transport.Credit) error {
	c.wants, c.active = c.wants[:0], c.active[:0]
	changed := len(credits) != len(c.servedNow())
	for _, cr := range credits {
		cs := c.byName[cr.Stream]
		if cs == nil {
			st := c.d.stream(cr.Stream)
			if st == nil {
				// Somebody else may have ensured it. If so it is read; if not, it isn't made.
				if err := transport.CheckName(cr.Stream); err != nil {
					return failMsg(transport.CodeInvalid, "receive", cr.Stream, nameMsg(err))
				}
				n := strings.Clone(cr.Stream)
				st = &streamState{name: n, key: streamKey(n)}
			}
			cs = &consumerStream{c: c, st: st, cursor: "-"}
			c.byName[st.name] = cs
			c.bell.named(cs)
		}
		changed = changed || !cs.served // in another order they are the same
		if cr.Max > 0 {
			c.wants = append(c.wants, want{cs, min(cr.Max, limit), min(cr.Own, cr.Max)})
			c.active = append(c.active, cr)
		}
	}
	if changed {
		c.serve(credits)
	}
	return nil
}

func (c *consumer) servedNow() []*consumerStream {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.served
}

// serve tells the housekeeper, at once, for what streams this consumer lives.
func (c *consumer) serve(credits []transport.Credit) {
	next := make([]*consumerStream, len(credits))
	c.mu.Lock()
	for _, cs := range c.served {
		cs.served = false
	}
	for i, cr := range credits {
		next[i] = c.byName[cr.Stream]
		next[i].served = true
	}
	for _, cs := range c.served {
		if !cs.served {
			c.left = append(c.left, cs)
		}
	}
	c.served = next
	c.mu.Unlock()
	signal(c.d.house)
}

// Close hands everything back and leaves.
func (c *consumer) Close(ctx context.Context) error {
	if !c.closed.CompareAndSwap(false, true) {
		return nil
	}
	close(c.gone)
	if seq := c.reading.Load(); seq%2 == 1 {
		c.wakeUp(seq)
	}
	c.inRead.Lock() // Receive has returned
	defer c.inRead.Unlock()
	c.d.mu.Lock()
	delete(c.d.consumers, c)
	c.d.mu.Unlock()
	_ = c.link.close()
	c.d.cmd.awaitUp(ctx)
	names := make([]string, 0, len(c.byName))
	for n := range c.byName {
		names = append(names, n)
	}
	slices.SortFunc(names, strings.Compare)
	var first error
	// In pieces: one script call holds up the broker for all others.
	for chunk := range slices.Chunk(names, 64) {
		calls := make([]call, len(chunk))
		for i, n := range chunk {
			st := c.byName[n].st
			calls[i] = call{script: leaveScript, keys: []string{st.key, presenceKey(n, c.group)}, args: []any{c.group, c.name, c.lease.Milliseconds()}}
		}
		if _, err := c.d.eval(ctx, "close", "", calls...); err != nil && first == nil {
			first = err
		}
	}
	return first
}
