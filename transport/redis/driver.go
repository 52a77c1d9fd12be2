package redis

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/transport"
)

// Driver is one process's connection to Redis. See the package's comment for what it does by itself.
type Driver struct {
	set      *settings
	caps     transport.Capabilities
	instance string
	opts     transport.Options
	log      *transport.QuietLog

	cmd   *commander
	links struct {
		cmd, tail *link
	}
	tails *tails
	acks  ackQueue

	// offset is the broker's clock minus mono, in nanoseconds: when somebody sets our clock, no request may seem old by that.
	offset atomic.Int64

	mu        sync.RWMutex
	streams   map[string]*streamState
	consumers map[*consumer]bool
	closed    bool

	laneMu sync.RWMutex
	lanes  map[string]laneInfo

	batches sync.Pool

	bg       context.Context
	bgCancel context.CancelFunc
	bgWait   sync.WaitGroup
	house    chan struct{} // capacity 1: something for the housekeeper
}

// Capabilities never blocks.
func (d *Driver) Capabilities() transport.Capabilities { return d.caps }

func (d *Driver) event(e transport.Event) {
	if d.opts.OnEvent != nil {
		d.opts.OnEvent(e)
	}
}

// check refuses calls on a closed driver.
func (d *Driver) check(op string) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.closed {
		return failMsg(transport.CodeClosed, op, "", "the driver is closed")
	}
	return nil
}

// background runs f, unless the driver is closing, and lets Close wait for it.
func (d *Driver) background(f func(ctx context.Context)) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.closed {
		return
	}
	d.bgWait.Go(func() { f(d.bg) })
}

// epoch is where mono counts from.
var epoch = time.Now()

// mono is a clock that nobody sets, in nanoseconds: leases and pauses must not follow a clock that is put right.
func mono() int64 { return int64(time.Since(epoch)) }

// age is how long ago an id was made, by the broker's clock.
func (d *Driver) age(id string) time.Duration { return ageAt(d.brokerNow(), id) }

// brokerNow is the broker's time in Unix nanoseconds, as far as we know.
func (d *Driver) brokerNow() int64 { return mono() + d.offset.Load() }

func ageAt(brokerNow int64, id string) time.Duration {
	return max(0, time.Duration(brokerNow-idTime(id)*int64(time.Millisecond)))
}

// syncClock measures the offset; the middle of the round trip is when the broker looked at its clock.
func (d *Driver) syncClock(ctx context.Context) error {
	cmd := goredis.NewTimeCmd(context.Background(), "time")
	start := mono()
	if _, err := d.cmd.do(ctx, []goredis.Cmder{cmd}, 0); err != nil {
		return opError("time", "", err)
	}
	if cmd.Err() != nil {
		return fail("time", "", cmd.Err())
	}
	d.setClock(cmd.Val(), start)
	return nil
}

// setClock notes what the broker's clock was in the middle of a round trip that began at start, by mono, and has just ended.
func (d *Driver) setClock(broker time.Time, start int64) {
	d.offset.Store(broker.UnixNano() - (start + (mono()-start)/2))
}

// Close ends everything. Consumers hand back what they hold, private lanes are deleted, acks are sent.
func (d *Driver) Close(ctx context.Context) error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	consumers := make([]*consumer, 0, len(d.consumers))
	for c := range d.consumers {
		consumers = append(consumers, c)
	}
	d.mu.Unlock()
	var errs []error
	d.cmd.awaitUp(ctx)
	for _, c := range consumers {
		errs = append(errs, c.Close(ctx))
	}
	errs = append(errs, d.tails.close(ctx))
	d.bgCancel()
	waited := make(chan struct{})
	go func() {
		d.bgWait.Wait()
		close(waited)
	}()
	select {
	case <-waited:
	case <-ctx.Done():
		errs = append(errs, ctx.Err())
	}
	errs = append(errs, d.cmd.close(ctx))
	_ = d.links.cmd.close()
	_ = d.links.tail.close()
	if err := errors.Join(errs...); err != nil {
		return connFail("close", "", err)
	}
	return nil
}
