package redis

import (
	"context"
	"time"

	"github.com/streamerson/streamerson/transport"
)

const (
	// trimEvery is the longest that settled entries stay in a stream this process settles; sweepEvery for a stream that it
	// only serves. For many streams it is trimEach times their number: 4 s for 1,000, in which few have much to trim.
	trimEvery  = time.Second
	trimEach   = 4 * time.Millisecond
	sweepEvery = 10 * time.Second
	// trimAtOnce is how many streams are trimmed in one pipeline: it takes the broker some 0.3 ms.
	trimAtOnce = 32
	// reapEvery and reapIdle: consumers that hold nothing and were not seen for a minute are deleted.
	reapEvery = 30 * time.Second
	reapIdle  = time.Minute
	// clockEvery is how often the broker's clock is compared with ours.
	clockEvery = 10 * time.Second
	tickEvery  = 100 * time.Millisecond
)

// housekeeping is the driver's one background goroutine: signs of life, lane leases, trimming, the clock. What fails is
// tried again at its next turn; the commander says that the broker is away.
func (d *Driver) housekeeping(ctx context.Context) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	var presence, tidy, lanes, sweep, reap, clock time.Time
	sweep, reap, clock = time.Now(), time.Now(), time.Now()
	due := func(last *time.Time, every time.Duration) bool {
		if time.Since(*last) < every {
			return false
		}
		*last = time.Now()
		return true
	}
	for {
		urgent := false
		select {
		case <-ctx.Done():
			return
		case <-d.house:
			urgent = true
		case <-tick.C:
		}
		if d.cmd.down() != nil {
			continue
		}
		if urgent || due(&presence, presenceEvery) {
			presence = time.Now()
			d.presence(ctx, urgent || due(&tidy, tidyEvery))
		}
		if urgent || due(&lanes, laneEvery) {
			lanes = time.Now()
			d.tails.renew(ctx)
		}
		all, serving := due(&sweep, sweepEvery), d.serving()
		every := max(trimEvery, time.Duration(len(serving))*trimEach)
		var late []*streamState
		for i, st := range serving {
			n, b := st.settled.Load(), st.settledBytes.Load()
			old := time.Duration(mono()-st.trimmedAt.Load()) > every
			if all || n >= earlyTrimEntries || b >= earlyTrimBytes || n > 0 && old {
				late = append(late, st)
			}
			if len(late) < trimAtOnce && (len(late) == 0 || i+1 < len(serving)) {
				continue
			}
			if due(&presence, presenceEvery) { // many streams may take longer to trim than a sign of life lives
				d.presence(ctx, false)
			}
			if err := d.trim(ctx, late...); err != nil && !transport.IsCode(err, transport.CodeUnavailable) && ctx.Err() == nil {
				d.log.Warn("trim", "streamerson: a stream can't be trimmed", "err", err) // which names the stream
			}
			late = late[:0]
		}
		if due(&reap, reapEvery) {
			for _, st := range d.serving() {
				_, _ = d.eval(ctx, "reap", st.name, call{script: reapScript, keys: []string{st.key}, args: []any{reapIdle.Milliseconds()}})
			}
		}
		if due(&clock, clockEvery) {
			_ = d.syncClock(ctx)
		}
	}
}

// serving lists the streams that this driver's consumers serve.
func (d *Driver) serving() []*streamState {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var all []*streamState
	for c := range d.consumers {
		for _, cs := range c.servedNow() {
			all = append(all, cs.st)
		}
	}
	return all
}

// presence gives each consumer's sign of life for each stream that it serves, and takes it back for those it left. tidy: the sets
// are tidied as well.
func (d *Driver) presence(ctx context.Context, tidy bool) {
	keep := time.Duration(0)
	if tidy {
		keep = presenceKept
	}
	d.mu.RLock()
	consumers := make([]*consumer, 0, len(d.consumers))
	for c := range d.consumers {
		consumers = append(consumers, c)
	}
	d.mu.RUnlock()
	var calls []call
	for _, c := range consumers {
		c.mu.Lock()
		served, left := c.served, c.left
		c.left = nil
		c.mu.Unlock()
		for len(served) > 0 {
			n := min(len(served), c.chunks())
			sc := call{script: presenceScript, args: []any{c.name, presenceTTL.Milliseconds(), keep.Milliseconds()}}
			for _, cs := range served[:n] {
				sc.keys = append(sc.keys, presenceKey(cs.st.name, c.group))
			}
			calls = append(calls, sc)
			served = served[n:]
		}
		for _, cs := range left {
			calls = append(calls, call{script: absenceScript, keys: []string{presenceKey(cs.st.name, c.group)}, args: []any{c.name}})
		}
	}
	if len(calls) > 0 {
		_, _ = d.eval(ctx, "presence", "", calls...)
	}
}
