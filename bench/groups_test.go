package bench

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/streamerson/streamerson/bench/result"
	"github.com/streamerson/streamerson/bench/role"
	"github.com/streamerson/streamerson/bench/workload"
)

// brief runs a group with visits that only show that it works.
func brief(t *testing.T, g group, legs ...string) (*result.Run, string) {
	t.Helper()
	o := DefaultOptions()
	o.Rounds, o.Visit, o.brief, o.Legs = 1, 50*time.Millisecond, true, legs
	s, err := g.start(t.Context(), o, testSelf(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	}()
	r := newResult(t)
	if err := s.measure(t.Context(), o, r, nil); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	Print(&out, r)
	return r, out.String()
}

func TestOpenLoopsGoAtSharesOfTheReference(t *testing.T) {
	r, out := brief(t, openGroup("open", LegHTTP, LegHTTP, LegRPC))
	if len(r.Cells) != 6 {
		t.Fatalf("%d cells", len(r.Cells))
	}
	for i, c := range r.Cells {
		if c.Rate <= 0 || c.Rate != r.Cells[i&^1].Rate || c.Rounds[0].OK == 0 || !strings.Contains(out, c.Name()) {
			t.Errorf("%s: rate %v, rounds %+v", c.Name(), c.Rate, c.Rounds)
		}
		if rd := c.Rounds[0]; rd.Calls != rd.OK+rd.Dropped+rd.Failed() || rd.Failed() > 0 {
			t.Errorf("%s: %+v", c.Name(), rd)
		}
	}
	if low, high := r.Cells[0].Rate, r.Cells[4].Rate; high < 3.9*low || high > 4.1*low {
		t.Errorf("20%% is %v, 80%% is %v", low, high)
	}
}

func TestAWorkloadsKindsAreToldApart(t *testing.T) {
	w, err := workload.Parse("w.yaml", []byte(`
name: mine
arrival: {rate: 400}
in_flight: 50
slots: 4
classes:
  - {name: long, share: 1, cpu: 3ms, stream: slow, max: 2}
  - {name: short, share: 3, cpu: 10us}
`))
	if err != nil {
		t.Fatal(err)
	}
	r, out := brief(t, group{"mine", func(ctx context.Context, o Options, self *role.Program) (*suite, error) {
		return workloadSuite(ctx, o, self, w, []string{LegHTTP, LegRPC})
	}})
	for _, c := range r.Cells {
		long, short := c.Rounds[0].Classes["long"], c.Rounds[0].Classes["short"]
		if c.Workload != "mine" || long.OK+short.OK != c.Rounds[0].OK || c.Rounds[0].Failed() > 0 {
			t.Errorf("%s: %+v", c.Name(), c.Rounds[0])
		}
	}
	if !strings.Contains(out, "short") {
		t.Errorf("the tables:\n%s", out)
	}
}

func TestCurvesVisitEveryLevel(t *testing.T) {
	r, _ := brief(t, curveGroup, "http@1", "http@1024", "nats-core-rpc@4")
	if len(r.Cells) != 3 || r.Failed() != 0 || r.Cells[1].Name() != "nats-core-rpc@4" {
		t.Errorf("got %+v", r.Cells)
	}
}

func TestALegThatIsNotThereIsNamed(t *testing.T) {
	_, err := legsNamed(t.Context(), Options{}, testSelf(t), LegHTTP, "carrier-pigeon")
	if err == nil || !strings.Contains(err.Error(), "carrier-pigeon") || !strings.Contains(err.Error(), LegRPC) {
		t.Errorf("got %v", err)
	}
}
