package bench

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamerson/streamerson/bench/load"
	"github.com/streamerson/streamerson/bench/result"
)

// fakeLeg records its visits and answers at once: a call takes a millisecond of its clock.
type fakeLeg struct {
	about  result.Leg
	visits *[]string
	fail   bool
}

func (l *fakeLeg) About() result.Leg           { return l.about }
func (l *fakeLeg) Start(context.Context) error { return nil }
func (l *fakeLeg) Stop() error                 { return nil }
func (l *fakeLeg) Run(_ context.Context, ld load.Load) (Visit, error) {
	if l.fail {
		return Visit{}, errors.New("the process ended")
	}
	*l.visits = append(*l.visits, (&result.Cell{Leg: l.about.Name, InFlight: ld.InFlight, Rate: ld.Rate}).Name())
	return Visit{Result: load.Result{Load: ld, OK: ld.Calls, Elapsed: time.Duration(ld.Calls) * time.Millisecond, P50: time.Duration(len(*l.visits))}, Lag: -1}, nil
}

func fakePlan(leg *fakeLeg, l load.Load) *plan {
	return &plan{Cell: &result.Cell{Group: "g", Leg: leg.about.Name, InFlight: l.InFlight, Rate: l.Rate}, leg: leg, load: l, visit: time.Second}
}

func TestRoundsGoForthAndBack(t *testing.T) {
	var visits []string
	a, b := &fakeLeg{result.Leg{Name: "a"}, &visits, false}, &fakeLeg{result.Leg{Name: "b"}, &visits, false}
	in := interleaver{rounds: 2, plans: []*plan{
		fakePlan(a, load.Load{InFlight: 1}), fakePlan(b, load.Load{InFlight: 4}), fakePlan(a, load.Load{InFlight: 8, Rate: 300}),
	}}
	if err := in.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	round := []string{"a@1", "b@4", "a~300/s", "a~300/s", "b@4", "a@1"}
	if want := slices.Concat([]string{"a@1", "b@4", "a~300/s"}, round, round); !slices.Equal(visits, want) {
		t.Errorf("visits %v, want %v", visits, want)
	}
	for i, p := range in.plans {
		// 1,000 calls a second were measured when warming up, so each visit of a second makes 1,000; in open loop its rate says it.
		want := []int{2000, 2000, 600}[i]
		if len(p.Rounds) != 2 || p.Rounds[0].Calls != want {
			t.Errorf("%s: %+v", p.Name(), p.Rounds)
		}
	}
	// Without histograms the quantiles are the means of the visits'.
	if got := in.plans[0].Rounds[0].Latency.P50; got != (4+9)/2 {
		t.Errorf("p50 %d", got)
	}
}

func TestAFailingLegFailsTheRun(t *testing.T) {
	in := interleaver{rounds: 1, plans: []*plan{fakePlan(&fakeLeg{result.Leg{Name: "a"}, nil, true}, load.Load{InFlight: 1})}}
	if err := in.run(t.Context()); err == nil || !strings.Contains(err.Error(), "g/a@1") {
		t.Errorf("got %v, want an error that names the cell", err)
	}
}

func TestAFailingRivalIsReportedAndTheRestGoesOn(t *testing.T) {
	var visits []string
	rival, ours := &fakeLeg{result.Leg{Name: "rival", Rival: true}, &visits, true}, &fakeLeg{result.Leg{Name: "ours"}, &visits, false}
	in := interleaver{rounds: 2, plans: []*plan{
		fakePlan(rival, load.Load{InFlight: 1}), fakePlan(ours, load.Load{InFlight: 1}), fakePlan(rival, load.Load{InFlight: 8}),
	}}
	cells := []*result.Cell{in.plans[0].Cell, in.plans[1].Cell, in.plans[2].Cell}
	if err := in.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(cells[1].Rounds) != 2 || cells[1].Failed != "" {
		t.Errorf("ours: %+v", cells[1])
	}
	for _, c := range []*result.Cell{cells[0], cells[2]} {
		if !strings.Contains(c.Failed, "the process ended") || len(c.Rounds) != 0 {
			t.Errorf("%s: %+v", c.Name(), c)
		}
	}
}

func TestVisitsOfARoundAreMerged(t *testing.T) {
	visit := func(d time.Duration) Visit {
		h := result.NewHistogram()
		_ = h.RecordValue(int64(d))
		text, err := result.EncodeHistogram(h)
		if err != nil {
			t.Fatal(err)
		}
		return Visit{
			Result: load.Result{Load: load.Load{Calls: 3}, OK: 1, Dropped: 1, Errors: map[string]int{"lost": 1}, HDR: text, Elapsed: time.Second,
				Kinds: map[string]load.KindResult{"read": {OK: 1, HDR: text}}},
			PartCPU: map[string]time.Duration{"client": time.Millisecond}, Allocs: map[string]result.Allocs{"client": {Objects: 4}},
			Counters: map[string]int64{"client.publish.items": 3}, Broker: BrokerUse{BrokerUse: result.BrokerUse{Commands: map[string]int64{"xadd": 2}}}, Lag: int64(d / time.Millisecond),
		}
	}
	r := roundOf(visit(time.Millisecond), visit(9*time.Millisecond))
	if r.Calls != 6 || r.OK != 2 || r.Dropped != 2 || r.Failed() != 2 || r.Errors["lost"] != 2 || r.Elapsed != 2*time.Second || r.Lag != 9 {
		t.Errorf("got %+v", r)
	}
	if r.Latency.P50 > 2*time.Millisecond || r.Latency.P99 < 8*time.Millisecond || r.Classes["read"].OK != 2 || r.Classes["read"].Latency.P99 < 8*time.Millisecond {
		t.Errorf("latency %+v, kinds %+v", r.Latency, r.Classes)
	}
	if r.CPU["client"] != 2*time.Millisecond || r.Allocs["client"].Objects != 8 || r.Counters["client.publish.items"] != 6 || r.Broker.Commands["xadd"] != 4 {
		t.Errorf("got %+v", r)
	}
}
