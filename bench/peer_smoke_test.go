//go:build peers

// These tests need what scripts/install-peers.sh provisions; `make test-peers` runs it, and them. Without it they fail: a rival that
// isn't there must not pass.

package bench

import (
	"path/filepath"
	"testing"

	"github.com/streamerson/streamerson/bench/load"
	"github.com/streamerson/streamerson/bench/peers"
	"github.com/streamerson/streamerson/bench/result"
)

// TestRivalsAnswerEveryCall runs each rival as the processes that it is, in closed and in open loop.
func TestRivalsAnswerEveryCall(t *testing.T) {
	tree, err := peers.Open(filepath.Join(".."))
	if err != nil {
		t.Fatal(err)
	}
	self := testSelf(t)
	for _, g := range rivalries {
		t.Run(g.name, func(t *testing.T) {
			s, err := g.suite(t.Context(), tree, DefaultOptions(), self)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.stop(); err != nil {
					t.Error(err)
				}
			})
			for _, l := range s.legs {
				if l.about.Rival {
					t.Run(l.about.Name, func(t *testing.T) { answersEveryCall(t, l) })
				}
			}
		})
	}
}

func answersEveryCall(t *testing.T, l *processLeg) {
	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Stop(); err != nil {
			t.Error(err)
		}
	})
	for _, ld := range []load.Load{
		{Calls: 500, InFlight: fair, Size: 128},
		{Calls: 100, InFlight: openLimit, Size: 9, Rate: 200, Seed: 1},
		{Calls: 100, InFlight: 16, Size: 4096},
	} {
		v, err := l.Run(t.Context(), ld)
		if err != nil {
			t.Fatal(err)
		}
		if v.OK != ld.Calls {
			t.Errorf("%+v: %+v", ld, v.Result)
		}
		if v.Elapsed <= 0 || v.P50 <= 0 || v.P50 > v.P99 || v.P99 > v.Max {
			t.Errorf("%+v: it took %v, quantiles %v %v %v", ld, v.Elapsed, v.P50, v.P99, v.Max)
		}
		h, err := result.DecodeHistogram(v.HDR)
		if err != nil || h.TotalCount() != int64(ld.Calls) {
			t.Errorf("%+v: the histogram %q holds not all calls: %v", ld, v.HDR, err)
		} else if p50 := result.QuantilesOf(h).P50; p50 < v.P50/2 || p50 > v.P50*2 {
			t.Errorf("%+v: the histogram's median is %v, the client's %v", ld, p50, v.P50)
		}
		for _, s := range l.steps {
			if s.server == nil && v.PartCPU[s.part] <= 0 { // a server's is told in steps of 10 ms
				t.Errorf("%+v: no CPU time for %s: %v", ld, s.part, v.PartCPU)
			}
		}
	}
}
