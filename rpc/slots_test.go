package rpc

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// one takes one delivery of a stream.
func one(s *slots, stream string) *streamState {
	h := &handling{delivery: transport.Delivery{Stream: stream}}
	s.take(time.Now(), []*handling{h})
	return h.stream
}

// fill plays a broker with endless work on every stream: it takes what the credits allow and ends nothing.
func fill(s *slots) map[string]int {
	got := map[string]int{}
	for {
		free, credits := s.credit(nil)
		l := transport.NewLedger(free, credits)
		took := false
		for i, c := range credits {
			if l.Allow(i) > 0 { // one at a time, as a saturated worker gets them
				l.Take(i, 1)
				one(s, c.Stream)
				got[c.Stream]++
				took = true
				break
			}
		}
		if !took {
			return got
		}
	}
}

func TestReservedSlotsStayFree(t *testing.T) {
	s := newSlots(4, []StreamConfig{{Name: "short", Min: 2}, {Name: "image"}, {Name: "other"}}, NopObserver{})
	free, credits := s.credit(nil)
	l := transport.NewLedger(free, credits)
	for i, c := range credits { // images and others rush in, all at once
		if c.Stream == "short" {
			continue
		}
		for n := l.Allow(i); n > 0; n-- {
			l.Take(i, 1)
			one(s, c.Stream)
		}
	}
	if running, _ := s.busy(); running != 2 {
		t.Fatalf("%d slots taken, want the 2 that are not reserved", running)
	}
	if got := fill(s); got["short"] != 2 || got["image"]+got["other"] != 0 {
		t.Errorf("then got %v, want two short ones", got)
	}
}

func TestMaxBoundsAStream(t *testing.T) {
	s := newSlots(8, []StreamConfig{{Name: "a", Max: 3}, {Name: "b"}}, NopObserver{})
	if got := fill(s); got["a"] != 3 || got["b"] != 5 {
		t.Errorf("got %v, want a 3, b 5", got)
	}
}

func TestWeightsShareWhatIsContended(t *testing.T) {
	s := newSlots(40, []StreamConfig{{Name: "a", Weight: 3}, {Name: "b", Weight: 1}}, NopObserver{})
	if got := fill(s); got["a"] != 30 || got["b"] != 10 {
		t.Errorf("got %v, want 30 and 10", got)
	}
}

func TestQuietStreamSavesNoTurns(t *testing.T) {
	s := newSlots(1, []StreamConfig{{Name: "a"}, {Name: "b"}}, NopObserver{})
	for range 100 {
		s.free(one(s, "a"))
		s.settled(1)
	}
	// b wakes up: from now on they share.
	turns := ""
	for range 12 {
		_, credits := s.credit(nil)
		turns += credits[0].Stream
		s.free(one(s, credits[0].Stream))
		s.settled(1)
	}
	if n := strings.Count(turns, "a"); n < 5 || n > 7 {
		t.Errorf("turns are %s, want half for each", turns)
	}
}

func TestIdleReservationIsLentAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(4, []StreamConfig{{Name: "image", Min: 3, Lend: true}, {Name: "short", Min: 1}}, NopObserver{})
		s.free(one(s, "image"))
		s.settled(1)
		if got := fill(s); got["image"] != 3 || got["short"] != 1 {
			t.Fatalf("while image is busy: %v", got)
		}
		for _, st := range s.streams {
			for st.inUse > 0 {
				s.free(st)
				s.settled(1)
			}
		}
		time.Sleep(lendIdle + time.Millisecond)
		_, credits := s.credit(nil)
		for _, c := range credits {
			if c.Stream == "short" && c.Max != 4 {
				t.Errorf("short may take %d of the lent slots, want 4", c.Max)
			}
		}
	})
}

func TestUnsettledRepliesStopTheFetching(t *testing.T) {
	s := newSlots(2, []StreamConfig{{Name: "a"}}, NopObserver{})
	for range unsettledSpare + 2 {
		s.free(one(s, "a"))
	}
	if free, _ := s.credit(nil); free != 0 {
		t.Errorf("%d may be fetched while %d settlements wait", free, unsettledSpare+2)
	}
	s.settled(1)
	if free, _ := s.credit(nil); free != 1 {
		t.Errorf("after one settled: %d, want 1", free)
	}
}

func TestFreedSlotWakesAReceiveThatExcludedItsStream(t *testing.T) {
	s := newSlots(2, []StreamConfig{{Name: "a", Max: 1}, {Name: "b"}}, NopObserver{})
	st := one(s, "a")
	woken := false
	s.credit(func() { woken = true }) // blocks on b alone
	s.free(st)
	if !woken {
		t.Error("the blocked Receive was not woken, so a would wait for b's next message")
	}
}

func TestSettlementsWakeAReceiveThatExcludedAStream(t *testing.T) {
	s := newSlots(2, []StreamConfig{{Name: "a", Min: 1}, {Name: "b"}}, NopObserver{})
	for range unsettledSpare + 2 {
		s.free(one(s, "b"))
	}
	s.settled(1)
	woken := false
	if free, _ := s.credit(func() { woken = true }); free != 1 { // blocks on a alone, whose slot it is
		t.Fatalf("%d slots free, want 1", free)
	}
	s.settled(unsettledSpare)
	if !woken {
		t.Error("the blocked Receive was not woken, so b would wait for a's next message")
	}
}
