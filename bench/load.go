package bench

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Caller makes one call at a time: echo body. dst is a buffer that the reply may be appended to, so that callers which
// read into memory need not allocate; the reply is valid until the same goroutine's next call.
type Caller interface {
	Call(ctx context.Context, dst, body []byte) ([]byte, error)
}

// Load is one visit's work.
type Load struct {
	// Calls in all, InFlight at once, Size of each body in bytes (at least 8).
	Calls, InFlight, Size int
}

// LoadResult is what a client process measured in one visit.
type LoadResult struct {
	Load
	// Elapsed is from the first call's start to the last one's end.
	Elapsed time.Duration
	// CPU is the client process's user and system time meanwhile.
	CPU time.Duration
	// OK replies had the right bytes, Wrong ones not; Errors counts the rest by text. OK + Wrong + Errors = Calls.
	OK, Wrong int
	Errors    map[string]int
	// Latencies of the OK replies.
	P50, P90, P99, P999, Max time.Duration
}

// Failed is the number of calls that didn't bring the right bytes.
func (r LoadResult) Failed() int { return r.Calls - r.OK }

// maxErrorTexts bounds LoadResult.Errors: texts may hold ids.
const maxErrorTexts = 16

// drive makes l.Calls calls, l.InFlight at once, each as soon as the one before has ended.
func drive(ctx context.Context, c Caller, l Load) LoadResult {
	var (
		next  atomic.Int64
		ok    atomic.Int64
		wrong atomic.Int64
		mu    sync.Mutex
		errs  = map[string]int{}
		wg    sync.WaitGroup
		lat   = make([]int64, l.Calls)
	)
	cpu, start := processCPU(), time.Now()
	for range min(l.InFlight, l.Calls) {
		wg.Go(func() {
			body, dst := make([]byte, max(l.Size, minPayload)), make([]byte, 0, l.Size+512)
			for {
				i := next.Add(1) - 1
				if i >= int64(l.Calls) || ctx.Err() != nil {
					return
				}
				fillPayload(body, uint64(i))
				t := time.Now()
				got, err := c.Call(ctx, dst[:0], body)
				d := time.Since(t)
				switch {
				case err != nil:
					mu.Lock()
					text := err.Error()
					if _, known := errs[text]; !known && len(errs) >= maxErrorTexts {
						text = "other errors"
					}
					errs[text]++
					mu.Unlock()
				case !samePayload(body, got):
					wrong.Add(1)
				default:
					ok.Add(1)
					lat[i] = int64(d)
				}
			}
		})
	}
	wg.Wait()
	r := LoadResult{Load: l, Elapsed: time.Since(start), CPU: processCPU() - cpu, OK: int(ok.Load()), Wrong: int(wrong.Load()), Errors: errs}
	slices.Sort(lat)
	r.quantiles(lat[l.Calls-r.OK:]) // failed calls are the zeros at the front
	if left := r.Calls - r.OK - r.Wrong; left > 0 {
		for _, n := range errs {
			left -= n
		}
		if left > 0 {
			errs["not made: the run was cut short"] = left
		}
	}
	return r
}

// quantiles takes them, by nearest rank, from all latencies: no histogram error. sorted is ascending.
func (r *LoadResult) quantiles(sorted []int64) {
	if len(sorted) == 0 {
		return
	}
	at := func(q float64) time.Duration {
		return time.Duration(sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)])
	}
	r.P50, r.P90, r.P99, r.P999, r.Max = at(0.50), at(0.90), at(0.99), at(0.999), at(1)
}
