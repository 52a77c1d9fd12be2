package parts

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamerson/streamerson/bench/load"
)

// turns spent in one calibration: about a millisecond.
const calibrationTurns = 1 << 20

// workSink keeps the compiler from leaving the work out.
var workSink atomic.Uint64

func turn(n int) {
	x := uint64(n) | 1
	for range n {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	workSink.Add(x)
}

// turnTime is what one turn costs, from the fastest of several tries: others' work makes a try slower, nothing faster.
var turnTime = sync.OnceValue(func() float64 {
	best := time.Hour
	for range 8 {
		start := time.Now()
		turn(calibrationTurns)
		best = min(best, time.Since(start))
	}
	return float64(best) / calibrationTurns
})

// work spends the CPU time that a body asks for. It counts turns rather than the clock: a callee that waits for a core has
// not worked meanwhile.
func work(body []byte) {
	if d, _ := load.Demand(body); d > 0 {
		turn(turns(d))
	}
}

func turns(d time.Duration) int { return int(float64(d) / turnTime()) }
