//go:build !race

package gates

import (
	"runtime"
	"testing"
)

const (
	// memoryCalls are made before the first look, memoryMore after it: pools, dedup windows (65,536 ids) and Go's own maps
	// have their size by then.
	memoryCalls, memoryMore = 200_000, 800_000
	// memoryGrowth is how much the live heap of client and worker together may differ then, in bytes: a leak of one byte a
	// call is 800,000. The two looks differ by what is on its way, some 100 kB.
	memoryGrowth = 1 << 20
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

// live is the heap that is still reachable.
func live() uint64 {
	for range 2 { // the first moves what pools hold to where the second frees it
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
