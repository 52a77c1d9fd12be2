package nats

import (
	"time"
)

// lease is a delivery's token.
type lease struct {
	c    *consumer
	trim *trimmed // of its stream
	ack  string   // the subject to settle it
	size int      // of the body, in bytes

	// Guarded by consumer.mu.
	until      time.Time // by our clock, which is where the server's redelivery begins at the latest
	state      leaseState
	prev, next *lease // while it is in leases
}

type leaseState uint8

const (
	held leaseState = iota
	acked
	released
)

// leases are what a consumer holds, as a ring: a map would cost each delivery an insertion and a removal. Guarded by consumer.mu.
type leases struct {
	root lease
	n    int
}

func (s *leases) add(l *lease) {
	if s.root.next == nil {
		s.root.next, s.root.prev = &s.root, &s.root
	}
	l.prev, l.next = s.root.prev, &s.root
	l.prev.next, s.root.prev = l, l
	s.n++
}

// remove is harmless for one that is not there.
func (s *leases) remove(l *lease) {
	if l.next == nil {
		return
	}
	l.prev.next, l.next.prev = l.next, l.prev
	l.prev, l.next = nil, nil
	s.n--
}

// drain removes all, and calls do for each.
func (s *leases) drain(do func(*lease)) {
	for s.n > 0 {
		l := s.root.next
		s.remove(l)
		do(l)
	}
}
