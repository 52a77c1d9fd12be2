package load

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"

	"github.com/streamerson/streamerson/bench/result"
)

// maxErrorTexts bounds Result.Errors: texts may hold ids.
const maxErrorTexts = 16

// Drive makes l.Calls calls and returns when all have ended, or were not made because ctx ended. It uses l.InFlight
// goroutines.
func Drive(ctx context.Context, c Caller, l Load) Result {
	return newDriver(c, l).drive(ctx)
}

// driver is one visit's state.
type driver struct {
	Load
	caller Caller
	pick   *picker
	// sleep waits until about the time, as exactly as the system can.
	sleep func(time.Duration)

	ok, wrong, dropped atomic.Int64
	late               atomic.Int64
	// latency of each call by its number; −1 where it was not OK. kind is set in loads with kinds only.
	latency []int64
	kind    []uint8

	mu   sync.Mutex
	errs map[string]int
}

func newDriver(c Caller, l Load) *driver {
	d := &driver{Load: l, caller: c, pick: newPicker(l), sleep: preciseSleep, latency: make([]int64, l.Calls), errs: map[string]int{}}
	for i := range d.latency {
		d.latency[i] = -1
	}
	if len(l.Kinds) > 0 {
		d.kind = make([]uint8, l.Calls)
	}
	return d
}

func (d *driver) drive(ctx context.Context) Result {
	cpu, start := ProcessCPU(), time.Now()
	if d.Rate > 0 {
		d.open(ctx, start)
	} else {
		d.closed(ctx)
	}
	r := Result{
		Load: d.Load, Elapsed: time.Since(start), CPU: ProcessCPU() - cpu,
		OK: int(d.ok.Load()), Wrong: int(d.wrong.Load()), Dropped: int(d.dropped.Load()), Errors: d.errs,
	}
	if made := d.Calls - r.Dropped; d.Rate > 0 && made > 0 {
		r.Late = time.Duration(d.late.Load() / int64(made))
	}
	d.measure(&r)
	left := r.Calls - r.OK - r.Wrong - r.Dropped
	for _, n := range d.errs {
		left -= n
	}
	if left > 0 {
		d.errs["not made: the run was cut short"] = left
	}
	return r
}

// closed keeps InFlight calls outstanding.
func (d *driver) closed(ctx context.Context) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(d.InFlight, d.Calls) {
		wg.Go(func() {
			b := d.buffers()
			for {
				i := next.Add(1) - 1
				if i >= int64(d.Calls) || ctx.Err() != nil {
					return
				}
				d.call(ctx, b, int(i), time.Time{})
			}
		})
	}
	wg.Wait()
}

// buffers are one goroutine's.
type buffers struct{ body, reply []byte }

func (d *driver) buffers() buffers {
	n := d.pick.largest()
	return buffers{body: make([]byte, n), reply: make([]byte, 0, n+512)}
}

// call makes call i. Its latency counts from due, or from now if that is zero.
func (d *driver) call(ctx context.Context, b buffers, i int, due time.Time) {
	body, kind := d.pick.body(b.body, uint64(i))
	if due.IsZero() {
		due = time.Now()
	}
	got, err := d.caller.Call(ctx, b.reply[:0], body)
	took := time.Since(due)
	switch {
	case err != nil:
		d.mu.Lock()
		text := err.Error()
		if _, known := d.errs[text]; !known && len(d.errs) >= maxErrorTexts {
			text = "other errors"
		}
		d.errs[text]++
		d.mu.Unlock()
	case !Same(body, got):
		d.wrong.Add(1)
	default:
		d.ok.Add(1)
		d.latency[i] = int64(took)
	}
	if d.kind != nil {
		d.kind[i] = uint8(kind)
	}
}

// measure makes quantiles and histograms of the latencies.
func (d *driver) measure(r *Result) {
	all := result.NewHistogram()
	kinds := make([]*hdr.Histogram, len(d.Kinds))
	for i := range kinds {
		kinds[i] = result.NewHistogram()
	}
	for i, v := range d.latency {
		if v < 0 {
			continue
		}
		v := min(v, result.MaxLatency)
		_ = all.RecordValue(v) // it can't be out of range
		if d.kind != nil {
			_ = kinds[d.kind[i]].RecordValue(v)
		}
	}
	// What the histogram can't be written as is left out: the quantiles are there.
	r.HDR, _ = result.EncodeHistogram(all)
	for i, h := range kinds {
		if r.Kinds == nil {
			r.Kinds = map[string]KindResult{}
		}
		text, _ := result.EncodeHistogram(h)
		r.Kinds[d.Kinds[i].Name] = KindResult{OK: int(h.TotalCount()), HDR: text}
	}
	slices.Sort(d.latency)
	r.quantiles(d.latency[d.Calls-r.OK:]) // calls that were not OK are in front
}

// quantiles takes them, by nearest rank, from all latencies: no histogram error. sorted is ascending.
func (r *Result) quantiles(sorted []int64) {
	if len(sorted) == 0 {
		return
	}
	at := func(q float64) time.Duration {
		return time.Duration(sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)])
	}
	r.P50, r.P90, r.P99, r.P999, r.Max = at(0.50), at(0.90), at(0.99), at(0.999), at(1)
}

// ProcessCPU is this process's user and system time so far.
func ProcessCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
