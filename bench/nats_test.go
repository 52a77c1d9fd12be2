package bench

import (
	"strings"
	"testing"

	"github.com/streamerson/streamerson/bench/result"
)

// TestNATSRun is a short run of the whole: every call is answered, and the report has what each part used.
func TestNATSRun(t *testing.T) {
	self := testSelf(t)
	b, err := startNATS(t.Context(), self)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	}()
	o := DefaultOptions()
	o.Rounds, o.Visit = 1, 20e6
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	s := suite{group: "nats", brokers: []broker{b}, legs: natsLegs(self, b), cells: natsCells, goals: natsGoals}
	r := newResult(t)
	if err := s.measure(t.Context(), o, r, nil); err != nil {
		t.Fatal(err)
	}
	if r.Failed() > 0 || len(r.Cells) != len(natsCells) {
		t.Errorf("%d cells, %d calls failed", len(r.Cells), r.Failed())
	}
	for _, c := range r.Cells {
		if c.Leg == LegHTTP {
			continue
		}
		if u := c.Rounds[0].CPU; u[result.PartClient] <= 0 || u[result.PartWorker] <= 0 || u[result.PartBroker] <= 0 {
			t.Errorf("%s: CPU %v", c.Name(), u)
		}
		if c.Connections[result.PartClient] != 1 || c.Connections[result.PartWorker] != 1 {
			t.Errorf("%s: connections %v, want one for each process", c.Name(), c.Connections)
		}
	}
	for _, g := range r.Goals {
		if g.Verdict == result.NotMeasured {
			t.Errorf("%s is not measured", g.Title)
		}
	}
	var out strings.Builder
	Print(&out, r)
	if !strings.Contains(out.String(), LegNATSCore) || !strings.Contains(out.String(), "client 1, worker 1") {
		t.Errorf("the report:\n%s", out.String())
	}
}
