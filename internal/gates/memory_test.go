//go:build !race

package gates

import (
	"math"
	"runtime"
	"testing"
	"time"
)

const (
	// memoryCalls are made before the first look, memoryMore after it: pools and dedup windows have their size by then.
	memoryCalls, memoryMore = 200_000, 800_000
	// memoryGrowth is how much the live heap of client and worker together may have grown then, in bytes. One pointer kept a
	// call would be 6.4 MB; two looks differ by up to 1.2 MB, buffers that a pool holds or not.
	memoryGrowth = 2 << 20
)

// TestGateMemoryIsFlat: what a client and a worker hold does not depend on how many calls they have made.
func TestGateMemoryIsFlat(t *testing.T) {
	srv, _ := ownRedis(t)
	p := start(t, srv.URL, names(1)...)
	p.load(memoryCalls, 256)
	before := live()
	p.load(memoryMore, 256)
	after := live()
	t.Logf("live heap after %d calls: %d bytes; after %d: %d", memoryCalls, before, memoryCalls+memoryMore, after)
	if after > before+memoryGrowth {
		t.Errorf("%d calls made the live heap grow from %d to %d bytes, want at most %d more", memoryMore, before, after, memoryGrowth)
	}
}

// live is the heap that is still reachable: the least of a few looks, since a call of the driver's housekeeping may be under way.
func live() uint64 {
	least := uint64(math.MaxUint64)
	for range 4 { // the first collection also moves what pools hold to where the second frees it
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		least = min(least, m.HeapAlloc)
		time.Sleep(25 * time.Millisecond)
	}
	return least
}
