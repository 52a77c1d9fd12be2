package rpc

import (
	"crypto/rand"
	"sync"
)

// idSource hands out random ids from blocks, so that a call does not pay for a system call of its own.
type idSource struct {
	mu   sync.Mutex
	buf  [4096]byte
	left int
}

func (s *idSource) next() (id ID) {
	s.mu.Lock()
	if s.left < len(id) {
		_, _ = rand.Read(s.buf[:]) // never fails: crypto/rand ends the program instead
		s.left = len(s.buf)
	}
	copy(id[:], s.buf[len(s.buf)-s.left:])
	s.left -= len(id)
	s.mu.Unlock()
	return id
}

var ids idSource

// NewID returns 128 random bits.
func NewID() ID { return ids.next() }
