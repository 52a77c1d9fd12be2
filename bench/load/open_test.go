package load

import (
	"errors"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamerson/streamerson/bench/result"
)

// openLoop drives l over c in a bubble, where sleeping takes no time and nothing is late.
func openLoop(t *testing.T, c func() Caller, l Load) (r Result) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := newDriver(c(), l)
		d.sleep = time.Sleep
		r = d.drive(t.Context())
	})
	return r
}

// answering makes f a Caller inside the bubble that it is used in.
func answering(f func(body []byte) ([]byte, error)) func() Caller {
	return func() Caller { return callerFunc(f) }
}

// TestAStalledCalleeIsChargedWithAllThatCameMeanwhile: no coordinated omission. A callee that answers one call after the other,
// 1 ms each, stops once for a second; 100 calls a second come.
func TestAStalledCalleeIsChargedWithAllThatCameMeanwhile(t *testing.T) {
	stall := func() Caller {
		one := make(chan struct{}, 1) // a bubble's time goes on while goroutines wait for a channel, not for a mutex
		return callerFunc(func(body []byte) ([]byte, error) {
			one <- struct{}{}
			defer func() { <-one }()
			if Number(body) == 0 {
				time.Sleep(time.Second)
			}
			time.Sleep(time.Millisecond)
			return body, nil
		})
	}
	r := openLoop(t, stall, Load{Calls: 200, InFlight: 200, Size: 16, Rate: 100, Arrival: Constant})
	if r.OK != 200 || r.Dropped != 0 {
		t.Fatalf("%d OK, %d dropped", r.OK, r.Dropped)
	}
	// Half of the calls came during the stall, the last of them near its end: evenly from nearly nothing to a second.
	h, err := result.DecodeHistogram(r.HDR)
	if err != nil {
		t.Fatal(err)
	}
	for q, want := range map[float64]time.Duration{75: 550 * time.Millisecond, 90: 850 * time.Millisecond} {
		if got := time.Duration(h.ValueAtQuantile(q)); got < want-50*time.Millisecond || got > want+60*time.Millisecond {
			t.Errorf("p%v is %v, want about %v: calls that waited for the stalled callee were not charged to it", q, got, want)
		}
	}
	if r.Max < time.Second || r.Late > time.Millisecond {
		t.Errorf("max %v, late %v", r.Max, r.Late)
	}

	// A closed loop of one call shows the stall in one latency of 200: this is what the open loop is for.
	synctest.Test(t, func(t *testing.T) {
		r := newDriver(stall(), Load{Calls: 200, InFlight: 1, Size: 16}).drive(t.Context())
		if r.P90 > 2*time.Millisecond {
			t.Errorf("closed loop: p90 %v", r.P90)
		}
	})
}

func TestAnArrivalBeyondTheCapIsDroppedAndCounted(t *testing.T) {
	r := openLoop(t, answering(func(body []byte) ([]byte, error) {
		time.Sleep(time.Second)
		return body, nil
	}), Load{Calls: 100, InFlight: 10, Size: 16, Rate: 100, Arrival: Constant})
	if r.OK != 10 || r.Dropped != 90 || r.Failed() != 0 || len(r.Errors) != 0 {
		t.Errorf("got %d OK, %d dropped, errors %v; want 10 and 90", r.OK, r.Dropped, r.Errors)
	}
	// What was let in is not charged with what was dropped.
	if r.Max > time.Second+time.Millisecond {
		t.Errorf("max %v", r.Max)
	}
}

func TestArrivalsKeepTheirRate(t *testing.T) {
	for _, arrival := range []string{Poisson, Constant, ""} {
		l := Load{Calls: 50_000, InFlight: 50_000, Size: 8, Rate: 7000, Arrival: arrival, Seed: 3}
		var sum time.Duration
		var squares float64
		gap := l.gaps()
		for range l.Calls {
			g := gap()
			sum += g
			squares += g.Seconds() * g.Seconds()
		}
		mean := sum.Seconds() / float64(l.Calls)
		if math.Abs(mean*l.Rate-1) > 0.02 {
			t.Errorf("%q: a mean gap of %v s at a rate of %v", arrival, mean, l.Rate)
		}
		// The standard deviation of exponential gaps is their mean, that of constant ones nothing.
		dev := math.Sqrt(max(0, squares/float64(l.Calls)-mean*mean)) / mean
		if want := map[string]float64{Poisson: 1, "": 1, Constant: 0}[arrival]; math.Abs(dev-want) > 0.03 {
			t.Errorf("%q: the gaps' deviation is %.3f of their mean, want %v", arrival, dev, want)
		}
	}
}

func TestASeedGivesTheSameCalls(t *testing.T) {
	of := func(seed uint64) (all []time.Duration) {
		gap := Load{Rate: 100, Seed: seed}.gaps()
		for range 20 {
			all = append(all, gap())
		}
		return all
	}
	same, a, b := true, of(1), of(2)
	for i, g := range of(1) {
		if g != a[i] {
			t.Fatal("one seed gave two schedules")
		}
		same = same && g == b[i]
	}
	if same {
		t.Error("two seeds gave one schedule")
	}
}

func TestOpenLoopCountsErrors(t *testing.T) {
	r := openLoop(t, answering(func(body []byte) ([]byte, error) {
		if Number(body)%4 == 0 {
			return nil, errors.New("refused")
		}
		return body, nil
	}), Load{Calls: 100, InFlight: 5, Size: 16, Rate: 1000})
	if r.OK+r.Dropped+r.Errors["refused"] != 100 || r.Errors["refused"] == 0 {
		t.Errorf("got %+v", r)
	}
}

// TestOpenLoopInRealTime: the thread that sleeps is exact enough, and doesn't hold up the calls.
func TestOpenLoopInRealTime(t *testing.T) {
	r := Drive(t.Context(), callerFunc(func(body []byte) ([]byte, error) { return body, nil }), Load{Calls: 200, InFlight: 200, Size: 16, Rate: 2000})
	if r.OK != 200 || r.Elapsed < 50*time.Millisecond {
		t.Errorf("got %+v", r)
	}
}

func TestKindsAndSizesFollowTheirWeights(t *testing.T) {
	l := Load{
		Calls: 10_000, InFlight: 50, Seed: 9,
		Sizes: []Sizes{{Min: 128, Max: 128, Weight: 3}, {Min: 1000, Max: 2000, Weight: 1}},
		Kinds: []Kind{{"picture", 50, time.Second}, {"read", 45, 10 * time.Millisecond}, {"list", 5, 0}},
	}
	var mu sync.Mutex
	sizes, kinds := map[bool]int{}, map[int]int{}
	r := Drive(t.Context(), callerFunc(func(body []byte) ([]byte, error) {
		work, kind := Demand(body)
		mu.Lock()
		defer mu.Unlock()
		if len(body) != 128 && (len(body) < 1000 || len(body) > 2000) || work != l.Kinds[kind].Work {
			t.Errorf("%d bytes, kind %d, work %v", len(body), kind, work)
		}
		sizes[len(body) == 128]++
		kinds[kind]++
		return body, nil
	}), l)
	if r.OK != l.Calls {
		t.Fatalf("got %+v", r)
	}
	for what, v := range map[string][2]float64{"128 B": {float64(sizes[true]), 7500}, "pictures": {float64(kinds[0]), 5000}, "lists": {float64(kinds[2]), 500}} {
		if math.Abs(v[0]-v[1]) > 250 {
			t.Errorf("%v %s, want about %v", v[0], what, v[1])
		}
	}
	if k := r.Kinds["read"]; k.OK != kinds[1] || k.HDR == "" {
		t.Errorf("kind read: %d OK of %d", k.OK, kinds[1])
	}
}
