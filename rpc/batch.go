package rpc

import (
	"runtime"
	"sync"
)

// maxBatch bounds how many items one flush hands to the driver: enough to make the per-batch cost vanish, few enough that
// the first item's outcome is not held up by the last's transfer.
const maxBatch = 512

// batcher is group commit without a timer: whatever is added while a flush is under way goes into the next one. A lone item
// is flushed at once; under load the batches grow by themselves. One flush goes on at a time, so order is kept.
type batcher[T any] struct {
	flush func([]T)
	// lone may be nil. It flushes an item of addAlone without waiting for the outcome, if it can.
	lone func(T) bool

	mu      sync.Mutex
	pending []T
	busy    bool // a flush is under way
	wake    *sync.Cond
	closed  bool
	done    chan struct{}
	added   uint64    // items so far
	flushed uint64    // of added, in their order
	awaited []awaited // in the order of at
	single  [1]T      // the batch of a caller that flushes its own; guarded by busy
}

// newBatcher starts the flusher. flush is called once at a time, also with regard to lone, and gets batches of 1 to maxBatch items and must not keep the slice.
func newBatcher[T any](flush func([]T), lone func(T) bool) *batcher[T] {
	b := &batcher[T]{flush: flush, lone: lone, done: make(chan struct{})}
	b.wake = sync.NewCond(&b.mu)
	go b.run()
	return b
}

// add queues an item and never blocks for a flush. It reports false after close.
func (b *batcher[T]) add(item T) bool {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return false
	}
	b.pending = append(b.pending, item)
	b.added++
	wake := len(b.pending) == 1 && !b.busy
	b.mu.Unlock()
	if wake {
		b.wake.Signal()
	}
	return true
}

// addAlone is add for a caller that believes to be alone and has the time to wait for a flush: if nothing is queued or under
// way it flushes its item itself, which saves a hand-over.
func (b *batcher[T]) addAlone(item T) bool {
	b.mu.Lock()
	if b.busy || len(b.pending) > 0 || b.closed {
		b.mu.Unlock()
		return b.add(item)
	}
	b.busy = true
	b.added++
	b.mu.Unlock()
	if b.lone == nil || !b.lone(item) {
		b.single[0] = item
		b.flush(b.single[:])
		clear(b.single[:])
	}
	b.mu.Lock()
	b.ended(1)
	wake := len(b.pending) > 0 || b.closed
	b.mu.Unlock()
	if wake {
		b.wake.Signal()
	}
	return true
}

func (b *batcher[T]) run() {
	defer close(b.done)
	var batch []T
	for {
		b.mu.Lock()
		for b.busy || len(b.pending) == 0 && !b.closed {
			b.wake.Wait()
		}
		if len(b.pending) == 0 {
			b.mu.Unlock()
			return
		}
		b.busy = true
		b.mu.Unlock()
		// Let the goroutines that are ready now add theirs: it costs a lone caller nothing and doubles the batches under load.
		runtime.Gosched()
		b.mu.Lock()
		batch, b.pending = b.pending, batch[:0]
		b.mu.Unlock()
		for rest := batch; len(rest) > 0; {
			n := min(len(rest), maxBatch)
			b.flush(rest[:n])
			rest = rest[n:]
		}
		n := len(batch)
		clear(batch) // so that flushed frames are not kept alive by the array
		if cap(batch) > 8*maxBatch {
			batch = nil
		}
		b.mu.Lock()
		b.ended(n)
		b.mu.Unlock()
	}
}

// awaited is a point in the order of items that somebody waits for.
type awaited struct {
	at      uint64
	flushed chan struct{}
}

// ended is the end of a flush of n items. Called with the lock.
func (b *batcher[T]) ended(n int) {
	b.busy = false
	b.flushed += uint64(n)
	for len(b.awaited) > 0 && b.awaited[0].at <= b.flushed {
		close(b.awaited[0].flushed)
		b.awaited = b.awaited[1:]
	}
}

// await returns a channel that is closed when all that was added before has been flushed.
func (b *batcher[T]) await() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := awaited{b.added, make(chan struct{})}
	if b.flushed >= a.at {
		close(a.flushed)
	} else {
		b.awaited = append(b.awaited, a)
	}
	return a.flushed
}

// close flushes what was added and ends the flusher; it waits for that.
func (b *batcher[T]) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.wake.Signal()
	<-b.done
}
