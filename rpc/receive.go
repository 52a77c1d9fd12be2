package rpc

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
)

const (
	// joinPause and receivePause are the waits after a failed attempt; the driver has its own back-off for reconnecting.
	joinPause    = 250 * time.Millisecond
	receivePause = 100 * time.Millisecond
	// receiveYields bounds how often the receive loop steps back for handlers that have not begun yet.
	receiveYields = 3
	// cancelBatch is the most cancellations read at once.
	cancelBatch = 256
)

// join ensures the streams and joins the group. A nil error without a consumer means that ctx ended first.
func (s *Server) join(ctx context.Context) error {
	for ctx.Err() == nil {
		err := s.d.Ensure(ctx, s.specs(s.cfg.Streams))
		if err == nil {
			s.consumer, err = s.d.Join(ctx, transport.Subscription{Group: s.cfg.Group, Consumer: s.cfg.Name, Lease: s.cfg.Lease})
		}
		if err == nil {
			return nil
		}
		switch transport.CodeOf(err) {
		case transport.CodeInvalid, transport.CodeUnauthenticated, transport.CodeDenied, transport.CodeUnsupported, transport.CodeClosed:
			return err
		}
		s.state.Store(&serverState{err})
		s.logReceive.Do(func() {
			s.cfg.Logger.Warn("the server can't join its group yet; trying on", "group", s.cfg.Group, "error", err)
		})
		sleep(ctx, joinPause)
	}
	return nil
}

// receive fetches as much as there are free slots, until ctx ends.
func (s *Server) receive(ctx context.Context) error {
	s.state.Store(ready)
	read, wake := context.WithCancel(ctx)
	defer func() { wake() }()
	lone := false
	for ctx.Err() == nil {
		broken := s.Ready() != nil
		switch {
		case broken: // come back soon to see whether it is mended: an empty stream says nothing
			wake()
			read, wake = context.WithTimeout(ctx, 5*receivePause)
		case read.Err() != nil: // one context serves until it was used to wake a Receive
			read, wake = context.WithCancel(ctx)
		}
		free, credits := s.slots.credit(wake)
		if free == 0 {
			select {
			case <-s.slots.changed:
			case <-ctx.Done():
			}
			continue
		}
		// What was just received goes first: short handlers end before the next read, which then brings more at once. But a
		// yield wakes a thread, and a lone request has nobody to make way for.
		for i := 0; !lone && i < receiveYields; i++ {
			runtime.Gosched()
			if s.runners.idleAgain() {
				break
			}
		}
		got, err := s.consumer.Receive(read, free, credits)
		s.start(got)
		lone = s.lone(got)
		if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			if broken {
				s.state.Store(ready)
			}
			continue
		}
		s.state.Store(&serverState{err})
		if transport.IsCode(err, transport.CodeClosed) {
			return fmt.Errorf("rpc: the server can't go on: %w", err)
		}
		s.logReceive.Do(func() { s.cfg.Logger.Warn("receiving failed; trying on", "group", s.cfg.Group, "error", err) })
		sleep(ctx, receivePause)
	}
	return nil
}

// lone reports whether got is one request, and nothing else runs or waits for its settlement.
func (s *Server) lone(got []transport.Delivery) bool {
	if len(got) != 1 {
		return false
	}
	kind, _, _ := wire.Peek(got[0].Body)
	return kind != wire.KindRequests && s.slots.calm()
}

// ready is the state of a server that receives.
var ready = &serverState{}

// start takes what was received into the books, and queues it for the runners.
func (s *Server) start(got []transport.Delivery) {
	if len(got) == 0 {
		return
	}
	now := time.Now()
	hs := s.fresh[:0]
	for i := range got { // one by one: an array of them would live as long as its slowest handler
		hs = append(hs, &handling{delivery: got[i], received: now})
	}
	s.slots.take(now, hs)
	s.leases.add(now, hs...)
	if s.caps.Stored { // otherwise nothing comes again
		s.suspects.add(hs)
	}
	s.runners.add(hs)
	clear(hs)
	s.fresh = hs
}

// readCancels ends the handlers of callers that left. It is a hint, so that work is saved: failures only cost that.
func (s *Server) readCancels(ctx context.Context) {
	var lane transport.Tailer
	for ctx.Err() == nil {
		var err error
		if lane == nil {
			if lane, err = s.d.Tail(ctx, transport.TailSpec{Name: cancelLane, Shared: true}); err != nil {
				if transport.IsCode(err, transport.CodeUnsupported) {
					return
				}
				sleep(ctx, joinPause)
				continue
			}
		}
		bodies, err := lane.Receive(ctx, cancelBatch)
		for _, b := range bodies {
			kind, id, ok := wire.Peek(b)
			if !ok || kind != wire.KindCancel {
				continue
			}
			if h := s.dedup.cancel(id); h != nil {
				h.end(ErrCallerGone)
			}
		}
		if err != nil {
			sleep(ctx, receivePause)
		}
	}
	if lane != nil {
		end, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		_ = lane.Close(end) // a shared lane goes away by itself
	}
}

// heartbeat renews the leases of what runs or waits for its settlement, however long it takes.
func (s *Server) heartbeat(ctx context.Context) {
	t := time.NewTicker(min(s.cfg.Lease/6, time.Second)) // parked messages wait for it, too
	defer t.Stop()
	var due []*handling
	var batch []transport.Settlement
	var errs []error
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		s.parked.release(time.Now())
		if !s.caps.Extend {
			continue
		}
		now := time.Now()
		due = s.leases.due(now.Add(-s.cfg.Lease/3), now, due[:0])
		if len(due) == 0 {
			continue
		}
		batch, errs = batch[:0], errs[:0]
		for _, h := range due {
			batch, errs = append(batch, transport.Settlement{Delivery: h.lent(), Verb: transport.Extend}), append(errs, nil)
		}
		ask, cancel := context.WithTimeout(ctx, s.cfg.Lease/3)
		s.consumer.Settle(ask, batch, errs)
		cancel()
		for i, h := range due {
			if transport.IsCode(errs[i], transport.CodeStale) {
				s.lost(h, batch[i].Delivery)
			}
		}
		clear(due)
	}
}

// drain waits for what runs, tells it to stop when time is up, and gives it a moment to do so.
// It reports whether all has ended.
func (s *Server) drain() bool {
	const grace = time.Second
	end := time.Now().Add(s.cfg.DrainTimeout)
	told := false
	for {
		running, unsettled := s.slots.busy()
		if running+unsettled == 0 {
			s.parked.releaseAll()
			return true
		}
		left := time.Until(end)
		if left <= 0 && told {
			s.cfg.Logger.Warn("the drain ran out of time; unfinished requests go to other workers", "running", running, "unsettled", unsettled)
			s.parked.releaseAll()
			return false
		}
		if left <= 0 {
			s.leases.each(func(h *handling) { h.end(ErrDraining) })
			told, end = true, time.Now().Add(grace)
			continue
		}
		t := time.NewTimer(min(left, 20*time.Millisecond))
		<-t.C
	}
}
