package rpc

import "sync"

// cancelWindow is how many ids of callers that left are remembered, for requests that are still in the queue.
const cancelWindow = 4096

// dedup knows which ids run here, ran here, or aren't wanted any more. Bounded: ids that run are bounded by the slots, the
// others by the rings.
type dedup struct {
	mu       sync.Mutex
	running  map[ID]*handling
	done     idWindow
	canceled idWindow
}

// idWindow remembers the last so many ids.
type idWindow struct {
	set  map[ID]struct{}
	ring []ID
	next int
}

func newIDWindow(size int) idWindow {
	return idWindow{set: make(map[ID]struct{}, min(size, 1024)), ring: make([]ID, size)}
}

func (w *idWindow) has(id ID) bool { _, ok := w.set[id]; return ok }

func (w *idWindow) add(id ID) {
	if w.has(id) {
		return
	}
	if old := w.ring[w.next]; !old.IsZero() {
		delete(w.set, old)
	}
	w.ring[w.next], w.set[id] = id, struct{}{}
	w.next = (w.next + 1) % len(w.ring)
}

func newDedup(window int) *dedup {
	return &dedup{running: map[ID]*handling{}, done: newIDWindow(window), canceled: newIDWindow(cancelWindow)}
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
	if other = d.running[id]; other != nil {
		return seenRunning, other
	}
	if d.done.has(id) {
		return seenDone, nil
	}
	if d.canceled.has(id) && !h.req.OneWay {
		return seenCanceled, nil
	}
	d.running[id] = h
	h.known = true
	return seenNew, nil
}

// end takes h out; done says that it had its effect and must not run again.
func (d *dedup) end(h *handling, done bool) {
	if !h.known {
		return
	}
	d.mu.Lock()
	delete(d.running, h.req.ID)
	if done {
		d.done.add(h.req.ID)
	}
	d.mu.Unlock()
}

// cancel returns the handling that runs under id, or remembers the id for when it comes.
func (d *dedup) cancel(id ID) *handling {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.running[id]
	if h == nil {
		d.canceled.add(id)
	}
	return h
}

// forget lets an id run again.
func (d *dedup) forget(id ID) {
	d.mu.Lock()
	delete(d.done.set, id)
	d.mu.Unlock()
}
