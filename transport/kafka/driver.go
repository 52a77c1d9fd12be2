package kafka

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/streamerson/streamerson/transport"
)

// Driver is one process's connection to Kafka. See the package's comment for what it does by itself.
//
// Locks are taken in this order: Driver.mu, member.mu; the others are leaves.
type Driver struct {
	set      *settings
	caps     transport.Capabilities
	instance string
	opts     transport.Options
	log      *transport.QuietLog
	cl       *cluster
	reads    *fetcher
	owners   owners
	turn     atomic.Uint32 // the partition of the last Publish without keys
	down     atomic.Bool

	clock struct {
		sync.Mutex
		offset time.Duration // the broker's clock minus ours
		rtt    time.Duration // of the sample that it is from
		at     time.Time
	}

	mu        sync.RWMutex
	streams   map[string]*stream
	members   map[string]*member
	lookups   map[string]*lookup
	consumers map[*consumer]bool
	tailers   map[*tailer]bool
	closed    bool

	bg       context.Context
	bgCancel context.CancelFunc
	bgWait   sync.WaitGroup
}

// stream is what Ensure was told; Driver.mu guards groups.
type stream struct {
	name       string
	groups     []string
	maxBacklog atomic.Int64
	published  atomic.Int64 // by this process
	full       atomic.Bool
	sampled    time.Time // the rest belongs to the housekeeper
	seen       int64
	waiting    int64
}

func newID() string { return rand.Text()[:laneIDLen] }

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

func (d *Driver) stream(name string) *stream {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.streams[name]
}

// opError keeps a *transport.Error and wraps all else; of a lost connection, whatever its form, the caller can only wait for
// the broker.
func opError(op, stream string, err error) error {
	if e, ok := errors.AsType[*transport.Error](err); ok {
		return e
	}
	if errors.Is(err, errClosed) {
		return failMsg(transport.CodeClosed, op, stream, "the driver is closed")
	}
	if _, ok := errors.AsType[kafkago.Error](err); ok || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fail(op, stream, err)
	}
	return unavailable(op, stream, err)
}

func unavailable(op, stream string, err error) *transport.Error {
	code := codeOf(err)
	if code == transport.CodeTimeout || code == transport.CodeCanceled || code == transport.CodeInternal {
		code = transport.CodeUnavailable
	}
	return &transport.Error{Code: code, Op: op, Stream: stream, Err: err}
}

// brokerFailed is for one broker that can't be reached or doesn't answer. Kafka itself is down only when no other answers, which
// the housekeeper finds out.
func (d *Driver) brokerFailed(id int32, sent bool, err error) {
	if d.cl.size() == 1 {
		d.wentDown(err)
		return
	}
	if codeOf(err) == transport.CodeCanceled || d.bg.Err() != nil {
		return
	}
	if !sent {
		d.cl.avoid(id)
	}
	d.log.Warn("broker", "streamerson: a broker of the cluster can't be reached; its partitions wait for another leader", "broker", d.cl.addr(id), "err", err)
}

// wentDown and isUp report the change once.
func (d *Driver) wentDown(err error) {
	if codeOf(err) == transport.CodeCanceled || d.bg.Err() != nil || !d.down.CompareAndSwap(false, true) {
		return
	}
	d.log.Warn("down", "streamerson: Kafka can't be reached; requests are refused until it is back", "err", err)
	d.event(transport.Event{Kind: transport.EventDisconnected, Err: err})
}

func (d *Driver) isUp() {
	if d.down.Load() && d.down.CompareAndSwap(true, false) {
		d.opts.Logger.Info("streamerson: Kafka is back")
		d.event(transport.Event{Kind: transport.EventConnected})
	}
}

// sample learns the broker's clock from when it says that it stored something: between start and now. The shortest exchange of
// the last minute counts.
func (d *Driver) sample(start time.Time, millis int64) {
	rtt := time.Since(start)
	d.clock.Lock()
	defer d.clock.Unlock()
	if d.clock.at.IsZero() || rtt <= d.clock.rtt || time.Since(d.clock.at) > time.Minute {
		d.clock.offset = time.UnixMilli(millis).Sub(start.Add(rtt / 2))
		d.clock.rtt, d.clock.at = rtt, time.Now()
	}
}

func (d *Driver) brokerNow() time.Time {
	d.clock.Lock()
	defer d.clock.Unlock()
	return time.Now().Add(d.clock.offset)
}

// Close ends everything. Progress is committed, groups are left, private lanes are deleted.
func (d *Driver) Close(ctx context.Context) error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	consumers, tailers := slices.Collect(maps.Keys(d.consumers)), slices.Collect(maps.Keys(d.tailers))
	d.mu.Unlock()
	errs := make([]error, len(consumers)+1)
	var wg sync.WaitGroup
	for i, c := range consumers {
		wg.Go(func() { errs[i] = c.Close(ctx) })
	}
	var lanes []string
	for _, t := range tailers {
		if topic := t.end(); topic != "" {
			lanes = append(lanes, topic)
		}
	}
	errs[len(consumers)] = d.deleteTopics(ctx, lanes...)
	wg.Wait()
	d.reads.stop()
	d.bgCancel()
	d.bgWait.Wait()
	d.cl.links.close()
	if err := errors.Join(errs...); err != nil {
		return unavailable("close", "", err)
	}
	return nil
}
