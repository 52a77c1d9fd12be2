package nats

import (
	"context"
	"slices"
	"sync"

	natsgo "github.com/nats-io/nats.go"

	"github.com/streamerson/streamerson/transport"
)

// corePrefix + NAME is where a request goes with nats+core://; queue groups take it from there.
const corePrefix = root + "c."

// coreQueue is how many requests a process holds for its free slots to come, over all streams of a consumer, and besides how many
// it holds of streams that have no credit; what comes beyond is dropped and reported (EventDeleted). They wait in its memory: with
// core NATS there is nowhere else.
const coreQueue = 8192

// keptQueue is how much room a stream's queue keeps once it is empty, in messages.
const keptQueue = 1024

// coreConsumer is a member of a queue group. The server hands it requests as they come: it can't be asked for a number.
type coreConsumer struct {
	d     *Driver
	name  string
	group string
	// inbox gets what all subscriptions bring, in the order in which the server sent it.
	inbox chan *natsgo.Msg
	done  chan struct{}

	mu      sync.Mutex
	closed  bool
	subs    map[string]*coreStream
	bySub   map[*natsgo.Subscription]*coreStream
	listed  []string // by the last Receive; nil before the first
	waiting int      // in all queues

	// Used by Receive only.
	seq    uint64
	ids    []byte
	ledger transport.Ledger
}

// coreStream is one stream of a coreConsumer. Guarded by its mu.
type coreStream struct {
	name  string
	sub   *natsgo.Subscription
	live  *natsgo.Subscription // from the first Receive that lists the stream
	queue []*natsgo.Msg        // read from inbox, and without a slot so far: from head on
	head  int
	lost  int // of what sub has dropped, the number that was reported
}

// coreToken is a delivery's token: nothing is left to settle but the reply.
type coreToken struct{ c *coreConsumer }

// coreLag: the waiting requests are in the memory of others; only the living consumers are known. A stream exists as far
// as this driver ensured it.
func (d *Driver) coreLag(ctx context.Context, stream, group string) (transport.Lag, error) {
	for _, name := range []string{stream, group} {
		if err := transport.CheckName(name); err != nil {
			return transport.Lag{}, err
		}
	}
	if _, up := d.link.current(); !up {
		return transport.Lag{}, failMsg(transport.CodeUnavailable, "lag", stream, "the connection to NATS is down")
	}
	n := d.presence.count(ctx, stream, group, false)
	if n == 0 && !d.ensured(stream, group) {
		return transport.Lag{}, failMsg(transport.CodeNotFound, "lag", stream, "this driver has not ensured the stream and group, and core NATS has no streams to look at")
	}
	return transport.Lag{Waiting: -1, Pending: -1, Oldest: -1, Consumers: n}, nil
}

func (d *Driver) coreNobody(stream string) *transport.Error {
	d.mu.Lock()
	known := d.specs[stream] != nil
	d.mu.Unlock()
	if !known {
		return failMsg(transport.CodeNotFound, "publish", stream, "no live worker serves the stream, and this driver has not ensured it")
	}
	return failMsg(transport.CodeUnavailable, "publish", stream, "no live worker serves the stream, and core NATS stores nothing")
}

func newCoreConsumer(d *Driver, name, group string) *coreConsumer {
	return &coreConsumer{
		d: d, name: name, group: group, inbox: make(chan *natsgo.Msg, coreQueue), done: make(chan struct{}),
		subs: map[string]*coreStream{}, bySub: map[*natsgo.Subscription]*coreStream{},
	}
}

// ensured tells whether this driver has ensured the group on the stream. There is nobody else to ask.
func (d *Driver) ensured(stream, group string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	sp := d.specs[stream]
	return sp != nil && slices.Contains(sp.Groups, group)
}

// ensureCore subscribes the members of the groups that are named, if they have not listed yet what they serve: a request that comes
// before their first Receive waits here.
func (d *Driver) ensureCore(ctx context.Context, specs []transport.StreamSpec) error {
	d.mu.Lock()
	var members []*coreConsumer
	for m := range d.members {
		if c, ok := m.(*coreConsumer); ok {
			members = append(members, c)
		}
	}
	d.mu.Unlock()
	for _, c := range members {
		for _, sp := range specs {
			if !slices.Contains(sp.Groups, c.group) || c.hasListed() {
				continue
			}
			if err := c.subscribe(sp.Stream); err != nil {
				return fail("ensure", sp.Stream, err)
			}
		}
	}
	return d.settleSubscriptions(ctx, "ensure")
}

func (c *coreConsumer) hasListed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.listed != nil
}

// settleSubscriptions waits until the server has them.
func (d *Driver) settleSubscriptions(ctx context.Context, op string) error {
	lost, up := d.link.current()
	if !up {
		return nil // they are sent with the next connection
	}
	if err := d.mux.barrier(ctx, d.set.timeout, lost); err != nil {
		return fail(op, "", err)
	}
	return nil
}

// start subscribes to all streams on which the group was ensured.
func (c *coreConsumer) start(ctx context.Context) error {
	c.d.mu.Lock()
	var streams []string
	for name, sp := range c.d.specs {
		if slices.Contains(sp.Groups, c.group) {
			streams = append(streams, name)
		}
	}
	c.d.mu.Unlock()
	for _, name := range streams {
		if err := c.subscribe(name); err != nil {
			return fail("join", name, err)
		}
	}
	return c.d.settleSubscriptions(ctx, "join")
}

// serve makes this member live on the streams in credits, and leaves all others, those among them that it was subscribed to by
// Join: what it held of them would never be received here. A stream without credit stays subscribed: the server must know that
// somebody serves it.
func (c *coreConsumer) serve(credits []transport.Credit) error {
	c.mu.Lock()
	same := len(c.listed) == len(credits)
	for i := range credits {
		same = same && c.listed[i] == credits[i].Stream
	}
	c.mu.Unlock()
	if same {
		return nil
	}
	names := make([]string, len(credits))
	for i, cr := range credits {
		names[i] = cr.Stream
		if err := transport.CheckName(cr.Stream); err != nil {
			return err
		}
		if !c.d.ensured(cr.Stream, c.group) {
			return failMsg(transport.CodeNotFound, "receive", cr.Stream, "there is no such stream or group; Ensure makes it")
		}
		if err := c.subscribe(cr.Stream); err != nil {
			return fail("receive", cr.Stream, err)
		}
		if err := c.live(cr.Stream); err != nil {
			return fail("receive", cr.Stream, err)
		}
	}
	c.mu.Lock()
	var left []*natsgo.Msg
	for stream, s := range c.subs {
		if !slices.Contains(names, stream) {
			c.leave(s)
			delete(c.subs, stream)
			delete(c.bySub, s.sub) // what comes of it still is handed on by sort
			left = append(left, s.queue[s.head:]...)
			c.waiting -= len(s.queue) - s.head
		}
	}
	c.listed = names
	c.mu.Unlock()
	for _, m := range left {
		c.handOn(m)
	}
	return nil
}

// live makes this member count on a stream.
func (c *coreConsumer) live(stream string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.subs[stream]
	if c.closed || s == nil || s.live != nil {
		return nil
	}
	var err error
	s.live, err = c.d.presence.serve(stream, c.group, c.name)
	return err
}

// subscribe joins the queue group of a stream, unless it is in it.
func (c *coreConsumer) subscribe(stream string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.subs[stream] != nil {
		return nil
	}
	s := &coreStream{name: stream}
	var err error
	if s.sub, err = c.d.nc.ChanQueueSubscribe(corePrefix+token(stream), token(c.group), c.inbox); err != nil {
		return err
	}
	c.subs[stream], c.bySub[s.sub] = s, s
	return nil
}
