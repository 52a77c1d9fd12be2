package rpc

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
)

const (
	// suspectWait bounds how long a suspect waits for its turn, and for the settlements before it: those with long handlers, which
	// did not end the process at once, go side by side as ever.
	suspectWait = 100 * time.Millisecond
	// Where a driver can't be asked whether an ack is through (Extend is not claimed), a suspect waits ackDelay for it, which is longer than
	// Kafka's driver takes to commit, and so many of them may need more time.
	ackDelay         = 75 * time.Millisecond
	suspectWaitBlind = 2 * time.Second
)

// suspects keeps a request that ends its process from taking others along each time. Whatever was delivered before may be what its
// worker died of, or only have been there. So each begins when those before it have ended, if they are quick, and their answers have
// been accepted: what ran before the one that ends the process is done with then.
type suspects struct {
	mu    sync.Mutex
	queue []suspect // by turns
}

type suspect struct {
	h    *handling
	turn chan struct{} // closed when it has come
}

// add queues those of hs that are suspects. At every other attempt their order is turned round: those behind the one that ended
// the process have their turn before it then.
func (s *suspects) add(hs []*handling) {
	var more []*handling
	for _, h := range hs {
		if h.suspect = h.delivery.Attempt > 1 || wire.Attempt(h.delivery.Body) > 1; h.suspect {
			more = append(more, h)
		}
	}
	if len(more) == 0 {
		return
	}
	if more[0].delivery.Attempt%2 == 0 {
		slices.Reverse(more)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range more {
		s.queue = append(s.queue, suspect{h, make(chan struct{})})
	}
	if len(s.queue) == len(more) {
		close(s.queue[0].turn)
	}
}

// place is where h stands in the queue. Called with the lock.
func (s *suspects) place(h *handling) int {
	return slices.IndexFunc(s.queue, func(x suspect) bool { return x.h == h })
}

// turn returns what is closed when h's turn has come.
func (s *suspects) turn(h *handling) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue[s.place(h)].turn
}

// awaitTurn waits until h's turn has come and what was to be settled before has been, for a bounded time.
func (s *Server) awaitTurn(h *handling) {
	most := suspectWait
	if !s.caps.Extend {
		most = suspectWaitBlind
	}
	limit, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	select {
	case <-s.suspects.turn(h):
	case <-limit.Done(): // one before it takes its time
		return
	}
	select {
	case <-s.settling.await():
	case <-limit.Done():
		return
	}
	if !s.caps.Extend {
		sleep(limit, ackDelay)
	} else {
		// A driver may send an ack behind the answer to the settlement. It does not send this before.
		var errs [1]error
		s.consumer.Settle(limit, []transport.Settlement{{Delivery: h.lent(), Verb: transport.Extend}}, errs[:])
	}
}

// leave ends h's turn, or its wait for it.
func (s *suspects) leave(h *handling) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.place(h)
	s.queue = slices.Delete(s.queue, i, i+1)
	if i == 0 && len(s.queue) > 0 {
		close(s.queue[0].turn)
	}
}
