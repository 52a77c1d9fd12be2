package files

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// poll is how often folders are looked at: the latency of a message, against the work while nothing comes.
const poll = 5 * time.Millisecond

type consumer struct {
	d     *Driver
	group string
	lease time.Duration
	done  chan struct{}
	close func()
}

// lease is a delivery's token: where its file is now.
type lease struct {
	mu   sync.Mutex
	dir  string
	m    message
	over bool
}

// Join makes nothing: a group's members don't know of each other.
func (d *Driver) Join(_ context.Context, sub transport.Subscription) (transport.Consumer, error) {
	if d.closed() {
		return nil, errClosed("join")
	}
	if err := transport.CheckName(sub.Group); err != nil {
		return nil, err
	}
	c := &consumer{d: d, group: sub.Group, lease: sub.Lease, done: make(chan struct{})}
	if c.lease == 0 {
		c.lease = transport.DefaultLease
	}
	c.close = sync.OnceFunc(func() { close(c.done) })
	return c, nil
}

// Receive looks at the streams in the caller's order, until there is something.
func (c *consumer) Receive(ctx context.Context, limit int, credits []transport.Credit) ([]transport.Delivery, error) {
	ledger := transport.NewLedger(limit, credits)
	for {
		if isClosed(c.done) || c.d.closed() {
			return nil, errClosed("receive")
		}
		var got []transport.Delivery
		for i, cr := range credits {
			dir := c.d.path("streams", cr.Stream, c.group)
			if ledger.Allow(i) > 0 && !exists(dir) {
				if c.d.groups(cr.Stream); !exists(dir) {
					return nil, fail("receive", cr.Stream, os.ErrNotExist)
				}
			}
			for _, m := range list(dir) {
				if ledger.Allow(i) == 0 {
					break
				}
				if x, ok := c.take(cr.Stream, dir, m); ok {
					ledger.Take(i, 1)
					got = append(got, x)
				}
			}
		}
		if len(got) > 0 {
			return got, nil
		}
		if err := wait(ctx, c.done, c.d.done); err != nil {
			return nil, err
		}
	}
}

// wait pauses until it is time to look again; closing is left to the caller's next look.
func wait(ctx context.Context, done, driverDone chan struct{}) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-done:
	case <-driverDone:
	case <-time.After(poll):
	}
	return nil
}

// take leases a message, unless it is leased or another consumer is faster.
func (c *consumer) take(stream, dir string, m message) (transport.Delivery, bool) {
	if m.leased() {
		return transport.Delivery{}, false
	}
	mine := message{id: m.id, attempt: m.attempt + 1, until: time.Now().Add(c.lease).UnixMilli()}
	if os.Rename(filepath.Join(dir, m.file()), filepath.Join(dir, mine.file())) != nil {
		return transport.Delivery{}, false
	}
	body, err := os.ReadFile(filepath.Join(dir, mine.file()))
	if err != nil {
		return transport.Delivery{}, false // it comes again when the lease ends
	}
	return transport.Delivery{Stream: stream, ID: m.id, Body: body, Attempt: mine.attempt, Age: m.age(), Token: &lease{dir: dir, m: mine}}, true
}

// Settle publishes a reply first, and then renames or removes the delivery's file.
func (c *consumer) Settle(_ context.Context, batch []transport.Settlement, errs []error) {
	var reply transport.Result
	for i := range batch {
		s := &batch[i]
		if isClosed(c.done) || c.d.closed() {
			errs[i] = errClosed("settle")
			continue
		}
		if s.Verb == transport.Ack && s.Reply != nil {
			if i == 0 || s.Reply != batch[i-1].Reply { // neighbours may share one
				reply = c.d.publish(s.Reply)
			}
			if errs[i] = reply.Err; errs[i] != nil {
				continue
			}
		}
		errs[i] = c.settle(s)
	}
}

func (c *consumer) settle(s *transport.Settlement) error {
	l := s.Delivery.Token.(*lease)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over && s.Verb == transport.Ack {
		return nil
	}
	file, next := filepath.Join(l.dir, l.m.file()), l.m
	var err error
	switch s.Verb {
	case transport.Extend:
		next.until = time.Now().Add(c.lease).UnixMilli()
		err = os.Rename(file, filepath.Join(l.dir, next.file()))
	case transport.Release:
		next.until = time.Now().Add(s.Delay).UnixMilli()
		err = os.Rename(file, filepath.Join(l.dir, next.file()))
	default:
		err = os.Remove(file)
	}
	if os.IsNotExist(err) {
		return &transport.Error{Code: transport.CodeStale, Op: "settle", Stream: s.Delivery.Stream, Msg: "the lease has ended"}
	}
	if err != nil {
		return fail("settle", s.Delivery.Stream, err)
	}
	l.m, l.over = next, s.Verb != transport.Extend
	return nil
}

// Close leaves unsettled deliveries to their leases.
func (c *consumer) Close(context.Context) error {
	c.close()
	return nil
}

// Lag counts files.
func (d *Driver) Lag(_ context.Context, stream, group string) (l transport.Lag, err error) {
	dir := d.path("streams", stream, group)
	if d.closed() {
		return l, errClosed("lag")
	}
	if d.groups(stream); transport.CheckName(stream) != nil || transport.CheckName(group) != nil || !exists(dir) {
		return l, fail("lag", stream, os.ErrNotExist)
	}
	for i, m := range list(dir) {
		if i == 0 {
			l.Oldest = m.age()
		}
		if m.leased() {
			l.Pending++
		} else {
			l.Waiting++
		}
	}
	return l, nil
}
