package rpc

import "sync"

// cancelWindow is how many ids of callers that left are remembered, for requests that are still in the queue.
const cancelWindow = 4096

// dedup knows which ids run here, ran here, or aren't wanted any more. Bounded: ids that run are bounded by the slots, the
// others by the rings.
type dedup struct {
	mu       sync.Mutex
	running  map[uint64]*handling // by half the id; until its settlement has ended
	done     idWindow
	canceled idWindow
}

// idWindow remembers the last so many ids.
type idWindow struct {
	set  map[uint64]ID // by half the id, which is random
	ring []ID
	next int
}

func newIDWindow(size int) idWindow {
	return idWindow{set: make(map[uint64]ID, min(size, 1024)), ring: make([]ID, size)}
}

func (w *idWindow) has(id ID) bool {
	have, ok := w.set[half(id)]
	return ok && have == id
}

func (w *idWindow) add(id ID) {
	if w.has(id) {
		return
	}
	if old := w.ring[w.next]; !old.IsZero() && w.has(old) {
		delete(w.set, half(old))
	}
	w.ring[w.next], w.set[half(id)] = id, id
	w.next = (w.next + 1) % len(w.ring)
}

func newDedup(window int) *dedup {
	return &dedup{running: map[uint64]*handling{}, done: newIDWindow(window), canceled: newIDWindow(cancelWindow)}
}

type sighting uint8

const (
	seenNew sighting = iota
	seenRunning
	seenDone
	seenCanceled
)

// begin registers h as running unless its id was seen; other is the handling that runs under the same id.
func (d *dedup) begin(h *handling) (s sighting, other *handling) {
	id := h.req.ID
	d.mu.Lock()
	defer d.mu.Unlock()
	if other = d.running[half(id)]; other != nil && other.req.ID == id {
		return seenRunning, other
	}
	if d.done.has(id) {
		return seenDone, nil
	}
	if len(d.canceled.set) > 0 && d.canceled.has(id) && !h.req.OneWay {
		return seenCanceled, nil
	}
	d.running[half(id)] = h
	h.known = true
	return seenNew, nil
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
		if d.running[half(h.req.ID)] == h {
			delete(d.running, half(h.req.ID))
		}
		if h.ran {
			d.done.add(h.req.ID)
		}
	}
}

// cancel returns the handling that runs under id, or remembers the id for when it comes.
func (d *dedup) cancel(id ID) *handling {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.running[half(id)]
	if h == nil || h.req.ID != id {
		d.canceled.add(id)
		return nil
	}
	return h
}
