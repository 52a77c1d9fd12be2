package rpc

import "sync"

// runners is the pool of goroutines that run handlers, never more than there are slots. What came in one batch is queued
// and one runner is woken; a runner that finds more behind its own wakes the next. So short handlers are run many by one
// goroutine, without a hand-over each, and a long one never holds up what is queued behind it.
type runners struct {
	run func(*handling)

	mu     sync.Mutex
	queue  []*handling
	head   int
	idle   int
	closed bool
	ready  *sync.Cond
	waking bool // a runner was woken and has not taken anything yet
	wait   sync.WaitGroup
}

func newRunners(run func(*handling)) *runners {
	r := &runners{run: run}
	r.ready = sync.NewCond(&r.mu)
	return r
}

// add queues a batch. The caller has counted it against the slots: that bounds the goroutines.
func (r *runners) add(hs []*handling) {
	r.mu.Lock()
	if r.head > len(r.queue)/2 {
		n := copy(r.queue, r.queue[r.head:])
		clear(r.queue[n:])
		r.queue, r.head = r.queue[:n], 0
	}
	r.queue = append(r.queue, hs...)
	r.wake()
	r.mu.Unlock()
}

// idleAgain reports whether all that was queued has begun.
func (r *runners) idleAgain() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.head == len(r.queue)
}

// wake brings one more runner, unless one is on its way already: that one will bring the next. Called with the lock.
func (r *runners) wake() {
	switch {
	case r.waking:
		return
	case r.idle > 0:
		r.idle--
		r.ready.Signal()
	default:
		r.wait.Go(r.loop)
	}
	r.waking = true
}

func (r *runners) loop() {
	r.mu.Lock()
	r.waking = false
	for {
		for r.head == len(r.queue) {
			if r.closed {
				r.mu.Unlock()
				return
			}
			r.idle++
			r.ready.Wait()
			r.waking = false
		}
		h := r.queue[r.head]
		r.queue[r.head] = nil
		r.head++
		if r.head < len(r.queue) {
			r.wake()
		}
		r.mu.Unlock()
		r.run(h)
		r.mu.Lock()
	}
}

// close ends the idle runners, and the others once they are done.
func (r *runners) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.ready.Broadcast()
}
