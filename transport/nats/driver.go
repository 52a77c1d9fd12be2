package nats

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/streamerson/streamerson/transport"
)

// Driver is one process's connection to NATS. See the package's comment for what it does by itself.
type Driver struct {
	set      *settings
	caps     transport.Capabilities
	instance string
	opts     transport.Options
	log      *transport.QuietLog

	nc       *natsgo.Conn
	js       jetstream.JetStream // nil with nats+core://
	mux      *mux
	lates    *lates
	link     *link
	presence presence
	trims    trims // with JetStream only

	// offset is the server's clock minus ours, in nanoseconds.
	offset atomic.Int64
	// dials counts the attempts to connect: what was sent while it didn't change was sent over one connection, if any.
	dials atomic.Uint64
	// denied is the last permission that the server said is missing.
	denied atomic.Pointer[error]

	mu      sync.Mutex
	specs   map[string]*spec
	members map[transport.Consumer]bool
	tailers map[*tailer]bool
	serial  int
	closed  bool
}

var (
	_ transport.Driver        = (*Driver)(nil)
	_ transport.Browser       = (*Driver)(nil)
	_ transport.LatePublisher = (*Driver)(nil)
)

// Capabilities never blocks.
func (d *Driver) Capabilities() transport.Capabilities { return d.caps }

func (d *Driver) event(e transport.Event) {
	if d.opts.OnEvent != nil {
		d.opts.OnEvent(e)
	}
}

func (d *Driver) isClosed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

// check refuses calls on a closed driver.
func (d *Driver) check(op string) error {
	if d.isClosed() {
		return errClosed(op)
	}
	return nil
}

// next is a number that no other lane or consumer of this driver has. The caller holds d.mu.
func (d *Driver) next() int {
	d.serial++
	return d.serial
}

// clock learns the server's time from one of its answers, which was asked for at start.
func (d *Driver) clock(start, server time.Time) {
	if !server.IsZero() {
		d.offset.Store(server.Sub(start.Add(time.Since(start) / 2)).Nanoseconds())
	}
}

// age is how long before now, by our clock, the server stored something, by its own: stored is in nanoseconds since 1970.
func (d *Driver) age(now time.Time, stored int64) time.Duration {
	return max(0, time.Duration(now.UnixNano()+d.offset.Load()-stored))
}

// Lag asks the group's JetStream consumer, the entry that is oldest (a second round trip, when there is one), and the live
// consumers.
func (d *Driver) Lag(ctx context.Context, stream, group string) (transport.Lag, error) {
	if err := d.check("lag"); err != nil {
		return transport.Lag{}, err
	}
	limited, cancel := context.WithTimeout(ctx, d.set.timeout)
	defer cancel()
	if d.set.core {
		return d.coreLag(limited, stream, group)
	}
	for _, name := range []string{stream, group} {
		if err := transport.CheckName(name); err != nil {
			return transport.Lag{}, err
		}
	}
	live := make(chan int, 1)
	go func() { live <- d.presence.count(limited, stream, group, false) }()
	l, err := d.backlog(limited, stream, group)
	l.Consumers = <-live
	return l, err
}

func (d *Driver) backlog(ctx context.Context, stream, group string) (transport.Lag, error) {
	start := time.Now()
	c, err := d.js.Consumer(ctx, jsStream(stream), token(group))
	if err != nil {
		if missing(err) {
			if d.heal(ctx, stream, group) {
				return transport.Lag{}, nil
			}
			return transport.Lag{}, failMsg(transport.CodeNotFound, "lag", stream, "there is no such stream or group; Ensure makes it")
		}
		return transport.Lag{}, fail("lag", stream, err)
	}
	info := c.CachedInfo()
	d.clock(start, info.TimeStamp)
	l := transport.Lag{Waiting: int64(info.NumPending), Pending: int64(info.NumAckPending)}
	if l.Waiting+l.Pending == 0 {
		return l, nil
	}
	s, err := d.js.Stream(ctx, jsStream(stream))
	if err != nil {
		return l, fail("lag", stream, err)
	}
	oldest, err := s.GetMsg(ctx, info.AckFloor.Stream+1, jetstream.WithGetMsgSubject(streamSubject(stream)))
	switch {
	case err == nil:
		l.Oldest = d.age(time.Now(), oldest.Time.UnixNano())
	case !errors.Is(err, jetstream.ErrMsgNotFound): // settled meanwhile
		l.Oldest = -1
	}
	return l, nil
}

// Close ends everything. Consumers hand back what they hold.
func (d *Driver) Close(ctx context.Context) error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	var errs []error
	members := make([]transport.Consumer, 0, len(d.members))
	for m := range d.members {
		members = append(members, m)
	}
	tailers := make([]*tailer, 0, len(d.tailers))
	for t := range d.tailers {
		tailers = append(tailers, t)
	}
	d.closed = true
	d.mu.Unlock()
	for _, m := range members {
		errs = append(errs, m.Close(ctx))
	}
	for _, t := range tailers {
		errs = append(errs, t.Close(ctx))
	}
	d.presence.close()
	d.trims.stop()
	d.lates.hurry(true)
	if lost, up := d.link.current(); up {
		// What was published before is on its way: wait until the server has it.
		_ = d.mux.barrier(ctx, d.set.timeout, lost)
	}
	d.lates.endAll(connectionLost)
	d.nc.Close()
	if err := errors.Join(errs...); err != nil {
		return fail("close", "", err)
	}
	return nil
}
