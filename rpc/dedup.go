package rpc

import (
	"sync"

	"github.com/streamerson/streamerson/transport"
)

// cancelWindow is how many ids of callers that left are remembered, for requests that are still in the queue.
const cancelWindow = 4096

// dedup knows which ids run here, ran here, or aren't wanted any more. Bounded: ids that run are bounded by the slots, the
// others by the rings.
type dedup struct {
	mu       sync.Mutex
	running  map[uint64]*handling // by half the id; until its settlement has ended
	done     idWindow
	canceled idWindow
	// anyCanceled saves most workers the look.
	anyCanceled bool
}

// idWindow remembers the last so many ids, about: the ids, which are random, fall into buckets that each forget their
// oldest. A bucket is two cache lines; a map and a ring, which forget exactly, took a tenth of a worker's time.
type idWindow struct {
	buckets [][idBucketLen]ID
	next    []uint8 // by bucket; apart, so that a bucket is whole cache lines
}

const idBucketLen = 8

func newIDWindow(size int) idWindow {
	n := (size + idBucketLen - 1) / idBucketLen
	return idWindow{buckets: make([][idBucketLen]ID, n), next: make([]uint8, n)}
}

func (w *idWindow) bucket(id ID) int { return int(half(id) % uint64(len(w.buckets))) }

func (w *idWindow) has(id ID) bool {
	b := &w.buckets[w.bucket(id)]
	for i := range b {
		if b[i] == id {
			return true
		}
	}
	return false
}

// add remembers an id that the window does not have.
func (w *idWindow) add(id ID) {
	b := w.bucket(id)
	w.buckets[b][w.next[b]%idBucketLen] = id
	w.next[b]++
}

func newDedup(window int) *dedup {
	return &dedup{running: map[uint64]*handling{}, done: newIDWindow(window), canceled: newIDWindow(cancelWindow)}
}

type sighting uint8

const (
	seenNew sighting = iota
	seenRunning
	seenAgain // the very entry that runs here, redelivered: its handling has adopted the delivery
	seenDone
	seenCanceled
)

// begin registers h as running unless its id was seen.
func (d *dedup) begin(h *handling) sighting {
	id := h.req.ID
	d.mu.Lock()
	defer d.mu.Unlock()
	if other := d.running[half(id)]; other != nil && other.req.ID == id {
		if other.delivery.ID == h.delivery.ID && other.delivery.Stream == h.delivery.Stream {
			other.adopt(&h.delivery)
			return seenAgain
		}
		if !other.member() {
			return seenRunning
		}
		// Its pack was given to another worker, which published each member by itself: the answer from here may be dropped.
	}
	if d.done.has(id) {
		return seenDone
	}
	if d.anyCanceled && !h.req.OneWay && d.canceled.has(id) {
		return seenCanceled
	}
	d.running[half(id)] = h
	h.known = true
	return seenNew
}

// end takes out those of hs that begin registered, once their settlement has ended: an entry that comes again while its
// reply is still refused must find them. Those that had their effect (ran) are remembered, so as not to run again.
func (d *dedup) end(hs ...*handling) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range hs {
		if !h.known {
			continue
		}
		h.known = false // a member may end before its carrier
		if d.running[half(h.req.ID)] == h {
			delete(d.running, half(h.req.ID))
		}
		if h.ran {
			d.done.add(h.req.ID)
		}
	}
}

// abandon takes h out, whose delivery d the broker has given to another: unless it has come back here meanwhile, which it
// reports as false. The lock makes it sure that nothing is adopted by a handling that is gone.
func (d *dedup) abandon(h *handling, lost *transport.Delivery) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h.lent() != lost {
		return false
	}
	if h.known && d.running[half(h.req.ID)] == h {
		delete(d.running, half(h.req.ID))
	}
	h.known = false
	return true
}

// forsake takes h out before it is given back.
func (d *dedup) forsake(h *handling) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h.known && d.running[half(h.req.ID)] == h {
		delete(d.running, half(h.req.ID))
	}
	h.known = false
}

// cancel returns the handling that runs under id, or remembers the id for when it comes.
func (d *dedup) cancel(id ID) *handling {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.running[half(id)]
	if h == nil || h.req.ID != id {
		if !d.canceled.has(id) {
			d.canceled.add(id)
		}
		d.anyCanceled = true
		return nil
	}
	return h
}
