//go:build !race

package gates

import (
	"testing"
	"time"
)

// streamsCost bounds what a call costs while its worker serves manyStreams.
type streamsCost struct {
	name string
	// used is how many of the streams are called, in turn.
	used, calls, inFlight int
	// commands are the hot ones, a call; bytes and allocations are factors of what a call costs with one stream alone.
	commands, bytes, allocations float64
}

const manyStreams = 1000

// streamsCosts are what is seen, plus slack. The goal is a tenth more than with one stream. Calls on one of them meet it in
// commands (1.0 against 1.1) and in bytes (× 1.04), and lone calls in commands (5.1 against 5.0); what is beyond (× 1.35 bytes, × 1.3 to
// 1.9 allocations) is a driver's housekeeping, which it does for each stream by time and not by calls. The slack is for a machine on
// which the same calls take several times as long. Calls on all of them need an XACK each, which names one stream (2.0 commands,
// × 1.2 bytes, × 2.35 allocations).
var streamsCosts = []streamsCost{
	{"lone calls on one", 1, 1_000, 1, 8, 4, 8},
	{"calls on one", 1, 20_000, 256, 2, 2, 6},
	{"calls on all", manyStreams, 20_000, 256, 3, 2, 8},
}

// TestGateRedisThousandStreams: what a call costs hardly depends on how many streams the worker serves.
func TestGateRedisThousandStreams(t *testing.T) {
	srv, rdb := ownRedis(t)
	look := redisUse(t, rdb)
	type cost struct{ commands, bytes, allocations float64 }
	measure := func(served, used, calls, inFlight int) (c cost) {
		p := start(t, srv.URL, names(served)...)
		defer p.end()
		p.streams = p.streams[:used]
		p.load(calls/10, inFlight)
		var u use
		var took time.Duration
		objects, _ := allocated(func() {
			u, took = during(calls, look, func() { p.load(calls, inFlight) })
		})
		t.Logf("%d streams, calls on %d, %d in flight, %v: %v, %.1f allocations", served, used, inFlight, took, u, objects/float64(calls))
		p.connections(srv.Addr, 6) // one of them is the test's own
		return cost{u.cut(redisHot...), u.in + u.out, objects / float64(calls)}
	}
	alone := map[int]cost{1: measure(1, 1, 1_000, 1), 256: measure(1, 1, 20_000, 256)}
	for _, c := range streamsCosts {
		many, one := measure(manyStreams, c.used, c.calls, c.inFlight), alone[c.inFlight]
		bytes, allocations := many.bytes/one.bytes, many.allocations/one.allocations
		t.Logf("%s of %d: %.1f commands (%.1f with one stream), × %.2f bytes, × %.2f allocations", c.name, manyStreams, many.commands, one.commands, bytes, allocations)
		if many.commands > c.commands || bytes > c.bytes || allocations > c.allocations {
			t.Errorf("%s of %d: want at most %.1f commands, × %.2f bytes, × %.2f allocations", c.name, manyStreams, c.commands, c.bytes, c.allocations)
		}
	}
}
