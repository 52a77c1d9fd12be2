package rpc

import (
	"container/heap"
	"sync"
	"time"
)

// maxParked is how many failed one-way messages a worker holds until their next attempt; beyond it the one that is due first
// is released early. Each costs its delivery without the body, and an extension each third of a lease.
const maxParked = 10_000

// parked holds deliveries until they are to be released, for brokers that can't delay by themselves. When the worker dies
// they come back with their lease, early rather than never.
type parked struct {
	giveBack func(*handling)

	mu   sync.Mutex
	heap parkedHeap
}

type parkedItem struct {
	due time.Time
	h   *handling
}

func newParked(release func(*handling)) *parked { return &parked{giveBack: release} }

func (p *parked) add(h *handling, delay time.Duration) {
	p.mu.Lock()
	heap.Push(&p.heap, parkedItem{time.Now().Add(delay), h})
	var early *handling
	if len(p.heap) > maxParked {
		early = heap.Pop(&p.heap).(parkedItem).h
	}
	p.mu.Unlock()
	if early != nil {
		p.giveBack(early)
	}
}

// release gives back what is due at now.
func (p *parked) release(now time.Time) {
	for {
		p.mu.Lock()
		if len(p.heap) == 0 || p.heap[0].due.After(now) {
			p.mu.Unlock()
			return
		}
		h := heap.Pop(&p.heap).(parkedItem).h
		p.mu.Unlock()
		p.giveBack(h)
	}
}

func (p *parked) releaseAll() { p.release(time.Now().Add(100 * 365 * 24 * time.Hour)) }

type parkedHeap []parkedItem

func (h parkedHeap) Len() int           { return len(h) }
func (h parkedHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h parkedHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *parkedHeap) Push(x any)        { *h = append(*h, x.(parkedItem)) }
func (h *parkedHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
