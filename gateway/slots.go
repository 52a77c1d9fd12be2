package gateway

import "sync/atomic"

// slots bounds what is under way at once. The count is shared with the slots of the same route in the next table.
type slots struct {
	count *atomic.Int64
	max   int64 // 0 is no bound
}

func newSlots(limit int) *slots { return &slots{count: new(atomic.Int64), max: int64(limit)} }

// take reports whether there was room; then free must follow.
func (s *slots) take() bool {
	if n := s.count.Add(1); s.max > 0 && n > s.max {
		s.count.Add(-1)
		return false
	}
	return true
}

func (s *slots) free() { s.count.Add(-1) }
