package nats

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/streamerson/streamerson/transport"
)

// consumer is one member of a group, over a durable pull consumer for each stream.
type consumer struct {
	d     *Driver
	name  string
	group string
	lease time.Duration
	// inbox gets what all pulls bring. It never fills: what pulls may bring is bounded by maxAsked.
	inbox chan *natsgo.Msg
	done  chan struct{} // closed with the consumer
	idle  chan struct{} // capacity 1: holds a token while nobody works with what follows mu
	// receiving finds two Receives at once; linger takes pulls back when no other comes.
	receiving atomic.Bool
	linger    *time.Timer

	mu      sync.Mutex
	closed  bool
	streams map[string]*pulled
	leased  leases

	// Used by whoever holds the token of idle.
	out     []*pulled       // the pulls that stay out between two Receives
	outLost <-chan struct{} // of the connection on which they were sent
	list    []*pulled
	bySub   map[*natsgo.Subscription]*pulled
	ledger  transport.Ledger
	next    int // where the next slice of streams begins
}

// maxAsked bounds what one Receive asks for, and maxStreams the streams that it asks at once: with a status for each, all of
// it fits into a consumer's inbox.
const (
	maxAsked   = 8192
	maxStreams = 4096
	inboxSize  = 2*maxAsked + 2*maxStreams
)

// pulled is one stream that a consumer serves.
type pulled struct {
	stream   string
	trim     *trimmed
	attached bool                 // the group's consumer is there, and has this lease
	live     *natsgo.Subscription // presence
	sub      *natsgo.Subscription // for the pulls; nil when the last one was taken back
	prefix   string
	pull     uint64    // the number of the latest pull
	left     int       // how many messages it may still bring; 0: none is out
	until    time.Time // when the server ends it
	listed   bool
	place    int // in list
}

// Join makes a member. It talks to nobody: the streams are attached when Receive first lists them.
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
		return nil, failMsg(transport.CodeInvalid, "join", "", "Lease is negative; give 0 for the default")
	}
	if sub.Lease == 0 {
		sub.Lease = transport.DefaultLease
	}
	if err := ctx.Err(); err != nil {
		return nil, fail("join", "", err)
	}
	c, err := d.member(sub)
	if core, ok := c.(*coreConsumer); ok && err == nil {
		if err := core.start(ctx); err != nil {
			_ = core.Close(ctx)
			return nil, err
		}
	}
	return c, err
}

// member makes a consumer of the driver's mode.
func (d *Driver) member(sub transport.Subscription) (transport.Consumer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errClosed("join")
	}
	name := sub.Consumer + "." + d.instance + "." + strconv.Itoa(d.next())
	if d.set.core {
		c := newCoreConsumer(d, name, sub.Group)
		d.members[c] = true
		return c, nil
	}
	c := &consumer{
		d: d, name: name, group: sub.Group, lease: sub.Lease, inbox: make(chan *natsgo.Msg, inboxSize), done: make(chan struct{}),
		idle: make(chan struct{}, 1), streams: map[string]*pulled{}, bySub: map[*natsgo.Subscription]*pulled{},
	}
	c.linger = time.AfterFunc(time.Hour, c.lingered)
	c.linger.Stop()
	c.idle <- struct{}{}
	d.members[c] = true
	return c, nil
}

// serve makes credits the list of streams that c serves, and attaches to those that are new.
func (c *consumer) serve(ctx context.Context, credits []transport.Credit) error {
	same := len(c.list) == len(credits)
	for i := range credits {
		same = same && c.list[i].stream == credits[i].Stream && c.list[i].attached
	}
	if same {
		return nil
	}
	list := make([]*pulled, len(credits))
	c.mu.Lock()
	for i, cr := range credits {
		p := c.streams[cr.Stream]
		if p == nil {
			p = &pulled{stream: cr.Stream, trim: c.d.trims.of(cr.Stream)}
			c.streams[cr.Stream] = p
		}
		list[i] = p
	}
	c.mu.Unlock()
	for _, p := range c.list {
		p.listed = false
	}
	for i, p := range slices.Backward(list) { // of a stream that is listed twice it is the first
		p.listed, p.place = true, i
	}
	for _, p := range c.list {
		if !p.listed {
			c.drop(p)
		}
	}
	c.list = list
	for _, p := range list {
		if !p.attached {
			if err := c.attach(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// drop forgets a stream that is not served any more. No pull is out.
func (c *consumer) drop(p *pulled) {
	if p.live != nil {
		c.d.presence.leave(p.live)
		p.live = nil
	}
	c.unsubscribe(p)
	p.attached = false
	c.mu.Lock()
	delete(c.streams, p.stream)
	c.mu.Unlock()
}

func (c *consumer) unsubscribe(p *pulled) {
	if p.sub == nil {
		return
	}
	_ = p.sub.Unsubscribe() // fails only when the connection is closed
	delete(c.bySub, p.sub)
	p.sub = nil
}

// attach finds the group on the stream, makes it again if it is gone, and gives it this consumer's lease.
func (c *consumer) attach(ctx context.Context, p *pulled) error {
	if err := transport.CheckName(p.stream); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, c.d.set.timeout)
	defer cancel()
	info, err := c.d.js.Consumer(limited, jsStream(p.stream), token(c.group))
	if err != nil && missing(err) && c.d.heal(ctx, p.stream, c.group) {
		again, cancel := context.WithTimeout(ctx, c.d.set.timeout)
		defer cancel()
		limited = again
		info, err = c.d.js.Consumer(limited, jsStream(p.stream), token(c.group))
	}
	if err == nil && info.CachedInfo().Config.AckWait != c.lease {
		cfg := info.CachedInfo().Config
		cfg.AckWait = c.lease
		_, err = c.d.js.UpdateConsumer(limited, jsStream(p.stream), cfg)
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return ctx.Err()
	case missing(err):
		return failMsg(transport.CodeNotFound, "receive", p.stream, "there is no such stream or group; Ensure makes it")
	default:
		return fail("receive", p.stream, err)
	}
	if p.live == nil {
		if p.live, err = c.d.presence.serve(p.stream, c.group, c.name); err != nil {
			return fail("receive", p.stream, err)
		}
	}
	p.attached = true
	return nil
}

// Close leaves the group: what is unsettled is given back at once.
func (c *consumer) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	close(c.done)
	c.mu.Unlock()
	c.d.mu.Lock()
	delete(c.d.members, c)
	c.d.mu.Unlock()
	select { // a Receive that runs takes its pulls back first
	case <-c.idle:
	case <-ctx.Done():
		return fail("close", "", ctx.Err())
	}
	c.linger.Stop()
	if len(c.out) > 0 {
		c.admit(c.recall(), 0, nil)
	}
	for _, p := range c.streams {
		if p.live != nil {
			c.d.presence.leave(p.live)
		}
		c.unsubscribe(p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.leased.drain(func(l *lease) {
		if now.Before(l.until) {
			_ = c.d.nc.Publish(l.ack, nak) // otherwise its lease frees it
		}
	})
	return nil
}
