package load

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// arrival is one call that is due.
type arrival struct {
	number int
	due    time.Time
}

// gaps are the times between arrivals.
func (l Load) gaps() func() time.Duration {
	mean := float64(time.Second) / l.Rate
	if l.Arrival == Constant {
		// Added up as numbers, so that a gap that isn't a whole nanosecond doesn't shift the rate.
		var n, last int64
		return func() time.Duration {
			n++
			at := int64(float64(n) * mean)
			gap := at - last
			last = at
			return time.Duration(gap)
		}
	}
	r := rand.New(rand.NewPCG(l.Seed, 0x6f70656e))
	return func() time.Duration { return time.Duration(r.ExpFloat64() * mean) }
}

// open begins calls at the times that gaps give, from start on. It never waits for a call: one that would be beyond InFlight
// is dropped.
func (d *driver) open(ctx context.Context, start time.Time) {
	// outstanding includes what is in the channel, so the channel has always room for what is let in.
	due, outstanding := make(chan arrival, d.InFlight), atomic.Int64{}
	var wg sync.WaitGroup
	for range min(d.InFlight, d.Calls) {
		wg.Go(func() {
			b := d.buffers()
			for a := range due {
				d.late.Add(int64(time.Since(a.due)))
				d.call(ctx, b, a.number, a.due)
				outstanding.Add(-1)
			}
		})
	}
	// A thread of its own sleeps to within a few dozen microseconds; a goroutine's timer may come a millisecond late.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	gap, at := d.gaps(), start
	for i := range d.Calls {
		at = at.Add(gap())
		for wait := time.Until(at); wait > 0; wait = time.Until(at) {
			d.sleep(min(wait, maxSleep))
			if ctx.Err() != nil {
				break
			}
		}
		if ctx.Err() != nil {
			break
		}
		if outstanding.Add(1) > int64(d.InFlight) {
			outstanding.Add(-1)
			d.dropped.Add(1)
			continue
		}
		due <- arrival{i, at}
	}
	close(due)
	wg.Wait()
}

// maxSleep is how late the end of a run may be noticed between two arrivals.
const maxSleep = 100 * time.Millisecond
