package conformance

import (
	"crypto/rand"
	mrand "math/rand/v2"
	"runtime"
	"slices"
	"time"
)

// Area groups scenarios by what they try.
type Area string

// The areas.
const (
	AreaDriver  Area = "driver"  // a driver alone: transport's contract
	AreaRPC     Area = "rpc"     // clients and servers over the driver, nothing broken
	AreaFaults  Area = "faults"  // processes and the broker killed, stopped, restarted
	AreaNetwork Area = "network" // the connection cut, slow, half open
	AreaQuota   Area = "quota"   // memory, disk and backlogs full, many subscriptions
)

// Scenario is one named check of a transport. What it demands in full is written at the function behind it.
type Scenario struct {
	Name string
	Area Area
	// Doc says in a line what must hold.
	Doc string
	// needs returns why the harness or the transport doesn't let the scenario run, "" if it does; nil means always.
	needs func(*Env) string
	run   func(*Env)
}

// table is every scenario, in the order in which Run runs them.
var table = slices.Concat(driverScenarios, rpcScenarios, faultScenarios, networkScenarios, quotaScenarios)

// Scenarios lists what Run would run or report as not run with h, in its order.
func Scenarios(h Harness) []Scenario {
	var out []Scenario
	for _, s := range table {
		if (len(h.Only) == 0 || slices.Contains(h.Only, s.Name)) && (len(h.Areas) == 0 || slices.Contains(h.Areas, s.Area)) {
			out = append(out, s)
		}
	}
	return out
}

func (h Harness) withDefaults() Harness {
	if h.Prefix == "" {
		h.Prefix = "c" + rand.Text()[:10] + "."
	}
	if h.Seed == 0 {
		h.Seed = mrand.Uint64()
	}
	if h.Slow <= 0 {
		h.Slow = 1
	}
	return h
}

// leftGrace is how long what a scenario used (goroutines, connections) may take to go once it is over, before Harness.Slow.
const leftGrace = 10 * time.Second

// Run runs the scenario, closes what it opened, checks that no goroutine and no connection is left, and tells h.OnResult how it
// ended, also when t.Fatalf ends the goroutine.
func (s Scenario) Run(t TB, h Harness) {
	t.Helper()
	began := time.Now()
	goroutines, conns := runtime.NumGoroutine(), sockets()
	h = h.withDefaults()
	e := &Env{TB: t, h: h, scenario: s.Name}
	notRun := ""
	defer func() {
		e.closeAll()
		e.nothingLeft(goroutines, conns)
		if h.OnResult != nil {
			h.OnResult(e.result(s, notRun, time.Since(began)))
		}
	}()
	if s.needs != nil {
		if notRun = s.needs(e); notRun != "" {
			return
		}
	}
	s.run(e)
}

// nothingLeft checks that the process is back to what it had before the scenario.
func (e *Env) nothingLeft(goroutines, conns int) {
	e.Helper()
	deadline := time.Now().Add(e.d(leftGrace))
	for runtime.NumGoroutine() > goroutines || sockets() > conns {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			e.Errorf("before: %d goroutines, %d connections; after everything was closed: %d and %d:\n%s", goroutines, conns,
				runtime.NumGoroutine(), sockets(), buf[:runtime.Stack(buf, true)])
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}
