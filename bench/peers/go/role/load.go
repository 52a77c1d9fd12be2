package role

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// Load is one visit's work.
type Load struct {
	// Calls in all, InFlight at once, Size of each body in bytes (at least 8).
	Calls, InFlight, Size int
	// Rate is the arrivals a second; 0 is a closed loop. InFlight then bounds the calls that are outstanding: an arrival
	// beyond is dropped and counted.
	Rate float64
	// Arrival is "constant" or, which "" means as well, "poisson".
	Arrival string
	// Seed of the arrivals.
	Seed uint64
}

// Result is what the client measured in one visit. OK + Wrong + Dropped + the sum of Errors = Calls.
type Result struct {
	Load
	// Elapsed is from the first call's start to the last one's end, CPU the process's user and system time meanwhile.
	Elapsed, CPU time.Duration
	OK, Wrong    int
	Dropped      int
	Errors       map[string]int
	// Latencies of the OK replies: in open loop from the time at which the call was meant to be sent.
	P50, P90, P99, P999, Max time.Duration
	// HDR is their histogram in nanoseconds: HdrHistogram's V2 compressed form in base64.
	HDR string
	// Late is how long after its time a call was really sent, on average; 0 in a closed loop.
	Late time.Duration
}

const (
	// callTimeout is when a call is given up: far beyond any latency that is still of interest.
	callTimeout = 10 * time.Second
	// maxErrorTexts bounds Result.Errors: texts may hold ids.
	maxErrorTexts = 16
	// maxLatency and digits are those of the histograms of a run's file.
	maxLatency = int64(2 * time.Minute)
	digits     = 3
)

// tally is what the calls of a visit add up to; safe for use by many goroutines.
type tally struct {
	caller    Caller
	latencies []int64 // by the call's number; 0 where there was no right reply
	ok, wrong atomic.Int64
	late      atomic.Int64
	mu        sync.Mutex
	errs      map[string]int
}

func (t *tally) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := err.Error()
	if _, known := t.errs[text]; !known && len(t.errs) >= maxErrorTexts {
		text = "other errors"
	}
	t.errs[text]++
}

// call makes call n, whose latency counts from due. body is overwritten.
func (t *tally) call(ctx context.Context, n int, due time.Time, body []byte) {
	fillPayload(body, uint64(n))
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	got, err := t.caller.Call(ctx, body)
	took := time.Since(due)
	cancel()
	switch {
	case err != nil:
		t.fail(err)
	case !bytes.Equal(body, got):
		t.wrong.Add(1)
	default:
		t.ok.Add(1)
		t.latencies[n] = int64(max(1, took))
	}
}

// Drive makes the load's calls and returns when all have ended.
func Drive(ctx context.Context, c Caller, l Load) (Result, error) {
	if l.Calls < 1 || l.InFlight < 1 {
		return Result{}, fmt.Errorf("a load of %d calls, %d at once: give at least 1", l.Calls, l.InFlight)
	}
	t := &tally{caller: c, latencies: make([]int64, l.Calls), errs: map[string]int{}}
	cpu, start := processCPU(), time.Now()
	dropped := 0
	if l.Rate > 0 {
		dropped = t.open(ctx, l, start)
	} else {
		t.closed(ctx, l)
	}
	r := Result{
		Load: l, Elapsed: time.Since(start), CPU: processCPU() - cpu,
		OK: int(t.ok.Load()), Wrong: int(t.wrong.Load()), Dropped: dropped, Errors: t.errs,
	}
	if sent := l.Calls - dropped; l.Rate > 0 && sent > 0 {
		r.Late = time.Duration(t.late.Load() / int64(sent))
	}
	return r, r.quantiles(t.latencies)
}

// closed makes each call as soon as one before it has ended.
func (t *tally) closed(ctx context.Context, l Load) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(l.InFlight, l.Calls) {
		wg.Go(func() {
			body := make([]byte, max(l.Size, minPayload))
			for {
				n := int(next.Add(1) - 1)
				if n >= l.Calls {
					return
				}
				t.call(ctx, n, time.Now(), body)
			}
		})
	}
	wg.Wait()
}

// open makes each call when it is due, whatever has become of the ones before, and returns how many were dropped.
func (t *tally) open(ctx context.Context, l Load, start time.Time) (dropped int) {
	arrivals := rand.New(rand.NewPCG(l.Seed, l.Seed))
	bodies := make(chan []byte, l.InFlight) // one for each call that may be outstanding
	for range l.InFlight {
		bodies <- make([]byte, max(l.Size, minPayload))
	}
	var wg sync.WaitGroup
	var at float64 // seconds from start
	for n := range l.Calls {
		if l.Arrival == "constant" {
			at += 1 / l.Rate
		} else {
			at += arrivals.ExpFloat64() / l.Rate
		}
		due := start.Add(time.Duration(at * float64(time.Second)))
		time.Sleep(time.Until(due))
		select {
		case body := <-bodies:
			t.late.Add(int64(time.Since(due)))
			wg.Go(func() {
				t.call(ctx, n, due, body)
				bodies <- body
			})
		default:
			dropped++
		}
	}
	wg.Wait()
	return dropped
}

// quantiles takes them, by nearest rank, from all latencies, and the histogram besides. It sorts latencies.
func (r *Result) quantiles(latencies []int64) error {
	slices.Sort(latencies)
	sorted := latencies[len(latencies)-r.OK:] // calls without a right reply are the zeros at the front
	if len(sorted) == 0 {
		return nil
	}
	at := func(q float64) time.Duration {
		return time.Duration(sorted[max(0, int(float64(len(sorted))*q+0.999999)-1)])
	}
	r.P50, r.P90, r.P99, r.P999, r.Max = at(0.50), at(0.90), at(0.99), at(0.999), time.Duration(sorted[len(sorted)-1])
	h := hdr.New(1, maxLatency, digits)
	for _, v := range sorted {
		if err := h.RecordValue(min(v, maxLatency)); err != nil {
			return err
		}
	}
	text, err := h.Encode(hdr.V2CompressedEncodingCookieBase)
	r.HDR = string(text)
	return err
}
