package rpc

import (
	"sync"
	"time"
)

// leases keeps every unsettled delivery in the order of its last renewal, so that a heartbeat looks only at those that are
// due. A linked list through the handlings themselves: it is passed twice by every request.
type leases struct {
	base time.Time // renewals count from here
	mu   sync.Mutex
	head handling // sentinel: head.next is the one renewed longest ago
}

func newLeases() *leases {
	l := &leases{base: time.Now()}
	l.head.prev, l.head.next = &l.head, &l.head
	return l
}

func (l *leases) add(now time.Time, hs ...*handling) {
	l.mu.Lock()
	for _, h := range hs {
		l.push(h, now.Sub(l.base))
	}
	l.mu.Unlock()
}

func (l *leases) push(h *handling, now time.Duration) {
	h.renewed = now
	h.prev, h.next = l.head.prev, &l.head
	h.prev.next, h.next.prev = h, h
}

func (l *leases) remove(hs ...*handling) {
	l.mu.Lock()
	for _, h := range hs {
		if h.next != nil {
			l.unlink(h)
		}
	}
	l.mu.Unlock()
}

func (l *leases) unlink(h *handling) {
	h.prev.next, h.next.prev = h.next, h.prev
	h.prev, h.next = nil, nil
}

// due returns those not renewed since before, and counts them as renewed now: an extension that fails is tried again at
// the next turn, which comes well before the lease's end.
func (l *leases) due(before, now time.Time, dst []*handling) []*handling {
	l.mu.Lock()
	for h := l.head.next; h != &l.head && h.renewed < before.Sub(l.base); h = l.head.next {
		dst = append(dst, h)
		l.unlink(h)
		l.push(h, now.Sub(l.base))
	}
	l.mu.Unlock()
	return dst
}

// age is how long ago the lease was renewed.
func (l *leases) age(h *handling, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now.Sub(l.base) - h.renewed
}

// each calls f for every unsettled delivery, under the lock.
func (l *leases) each(f func(*handling)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for h := l.head.next; h != &l.head; h = h.next {
		f(h)
	}
}
