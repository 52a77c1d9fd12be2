package rpc

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamerson/streamerson/transport"
)

const (
	// unsettledSpare is how many finished requests may wait for their settlement, beyond the slots, before nothing more is
	// fetched: it keeps a worker whose broker refuses replies from piling them up.
	unsettledSpare = 1024
	// lendIdle is how long a stream with Lend must have been quiet before its reserved slots serve others.
	lendIdle = time.Second
)

// streamState is a stream's place in the schedule. Its fields are the slots' lock's.
type streamState struct {
	cfg   StreamConfig
	inUse int
	gone  bool      // not served any more; kept while handlers run
	virt  float64   // start-time fair queueing: when its next turn begins
	last  time.Time // of its last delivery or end
	offer int       // credit in the Receive that may block now
}

func (st *streamState) weight() float64 { return float64(max(st.cfg.Weight, 1)) }

// slots decides what a Receive may fetch: a budget of handler slots, with some reserved for a stream (Min), the others
// shared by weight between the streams that have work, none beyond its Max.
type slots struct {
	observer Observer
	late     atomic.Int32 // of unsettled, those whose outcome is told later

	mu        sync.Mutex
	total     int
	inUse     int
	unsettled int
	virt      float64 // the turn that was given last
	streams   []*streamState
	byName    map[string]*streamState
	starved   int           // streams with no offer in the Receive that may block now
	changed   chan struct{} // gets a token when credit may have grown
	dry       bool          // the last credits were none: the receive loop waits for a token
	wake      func()        // ends the blocked Receive
	credits   []transport.Credit
	lend      *time.Timer // asks anew when reserved slots may be lent; nil until needed
}

func newSlots(total int, streams []StreamConfig, o Observer) *slots {
	s := &slots{observer: o, byName: map[string]*streamState{}, changed: make(chan struct{}, 1)}
	s.configure(total, streams)
	return s
}

// configure swaps the assignment; handlers that run keep their slots until they end.
func (s *slots) configure(total int, streams []StreamConfig) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total = total
	s.streams = nil
	for _, st := range s.byName {
		st.gone = true
	}
	for _, cfg := range streams {
		st := s.byName[cfg.Name]
		if st == nil {
			st = &streamState{}
			s.byName[cfg.Name] = st
		}
		if cfg.Max == 0 || cfg.Max > total {
			cfg.Max = total
		}
		st.cfg, st.gone = cfg, false
		s.streams = append(s.streams, st)
	}
	for name, st := range s.byName {
		if st.gone && st.inUse == 0 {
			delete(s.byName, name)
		}
	}
	s.signal(true)
}

// signal tells the receive loop that credit has grown; must says that a blocked Receive has to be woken for it.
func (s *slots) signal(must bool) {
	if must && s.wake != nil {
		s.wake()
	}
	if !must && !s.dry { // nobody waits, and the next credits are computed anew
		return
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// credit computes what may be fetched now: the total, and for each served stream its share, the preferred ones first. The
// slice is valid until the next call. wake is kept to end the Receive that follows.
func (s *slots) credit(wake func()) (int, []transport.Credit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wake = wake
	now := time.Now()
	slices.SortStableFunc(s.streams, func(a, b *streamState) int {
		// Below its reservation first, then whose turn is next.
		if aLow, bLow := a.inUse < a.cfg.Min, b.inUse < b.cfg.Min; aLow != bLow {
			if aLow {
				return -1
			}
			return 1
		}
		return cmp.Compare(max(a.virt, s.virt), max(b.virt, s.virt))
	})
	free, pool := s.room(now)
	s.credits, s.starved = s.credits[:0], 0
	for _, st := range s.streams {
		own := s.reserve(st, now)
		st.offer = max(min(st.cfg.Max-st.inUse, own+pool, free), 0)
		if st.offer == 0 {
			s.starved++
		}
		s.credits = append(s.credits, transport.Credit{Stream: st.cfg.Name, Max: st.offer, Own: min(own, st.offer)})
	}
	if s.starved > 0 {
		s.lendLater(now)
	}
	s.dry = free == 0
	return free, s.credits
}

// lendLater has the Receive that follows end when the next quiet stream's reserved slots may be lent: while no handler ends,
// nothing else would tell the streams that are left out of it.
func (s *slots) lendLater(now time.Time) {
	next := time.Duration(-1)
	for _, st := range s.streams {
		if !st.cfg.Lend || st.cfg.Min == 0 || st.inUse > 0 {
			continue
		}
		if left := lendIdle - now.Sub(st.last); left >= 0 && (next < 0 || left < next) {
			next = left
		}
	}
	switch {
	case next < 0:
	case s.lend != nil:
		s.lend.Reset(next + 1)
	default:
		s.lend = time.AfterFunc(next+1, func() {
			s.mu.Lock()
			s.signal(true)
			s.mu.Unlock()
		})
	}
}

// room is how many slots are free, and how many of them are not reserved.
func (s *slots) room(now time.Time) (free, pool int) {
	free = max(min(s.total-s.inUse, s.total+unsettledSpare-s.inUse-s.unsettled), 0)
	pool = free
	for _, st := range s.streams {
		pool -= s.reserve(st, now)
	}
	return free, max(pool, 0)
}

// reserve is how many slots are kept free for st alone.
func (s *slots) reserve(st *streamState, now time.Time) int {
	if st.cfg.Lend && st.inUse == 0 && now.Sub(st.last) > lendIdle {
		return 0
	}
	return max(st.cfg.Min-st.inUse, 0)
}

// take counts deliveries into their streams' slots, and tells each its stream. A stream that is not served any more is
// served to the end of what came.
func (s *slots) take(now time.Time, hs []*handling) {
	s.mu.Lock()
	for _, h := range hs {
		st := s.byName[h.delivery.Stream]
		if st == nil {
			st = &streamState{cfg: StreamConfig{Name: h.delivery.Stream, Max: s.total}, gone: true}
			s.byName[st.cfg.Name] = st
		}
		// A stream that was quiet starts level with the others: it can't save up turns.
		s.virt = max(st.virt, s.virt)
		st.virt = s.virt + 1/st.weight()
		st.inUse++
		s.inUse++
		st.last = now
		h.stream = st
		s.observer.Slots(st.cfg.Name, st.inUse)
	}
	s.mu.Unlock()
}

// free gives a slot back when its handler has ended; its settlement still counts until settled. quiet: no other handler
// runs, and no other settlement is under way but those whose outcome is told later.
func (s *slots) free(st *streamState) (quiet bool) {
	s.mu.Lock()
	st.inUse--
	s.inUse--
	s.unsettled++
	s.observer.Slots(st.cfg.Name, st.inUse)
	if st.gone && st.inUse == 0 {
		delete(s.byName, st.cfg.Name)
	}
	if st.cfg.Lend && st.inUse == 0 {
		st.last = time.Now() // its idleness begins
	}
	s.signal(s.fed())
	quiet = s.inUse == 0 && s.unsettled-int(s.late.Load()) == 1
	s.mu.Unlock()
	return quiet
}

// calm reports whether at most one request runs or waits for its settlement.
func (s *slots) calm() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inUse+s.unsettled-int(s.late.Load()) <= 1
}

// fed reports whether a stream that the last credits offered nothing of has room now: a Receive that blocks on other streams
// must ask anew.
func (s *slots) fed() bool {
	if s.starved == 0 {
		return false
	}
	now := time.Now()
	free, pool := s.room(now)
	for _, o := range s.streams {
		if o.offer == 0 && min(o.cfg.Max-o.inUse, s.reserve(o, now)+pool, free) > 0 {
			return true
		}
	}
	return false
}

// settled counts n settlements that have ended.
func (s *slots) settled(n int) {
	if n == 0 {
		return
	}
	s.mu.Lock()
	if s.unsettled -= n; s.unsettled+n >= unsettledSpare {
		s.signal(s.fed())
	}
	s.mu.Unlock()
}

// busy returns how many handlers run and how many settlements wait.
func (s *slots) busy() (running, unsettled int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inUse, s.unsettled
}
