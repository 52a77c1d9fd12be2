package report

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamerson/streamerson/bench/result"
)

func find(t *testing.T, c *Comparison, cell, metric string) Difference {
	t.Helper()
	i := slices.IndexFunc(c.Differences, func(d Difference) bool { return d.Cell == cell && d.Metric == metric })
	if i < 0 {
		t.Fatalf("no %s of %s among %+v", metric, cell, c.Differences)
	}
	return c.Differences[i]
}

// TestCompare: a tenth more in every round is a change; the same figures, and two rounds alone, are none.
func TestCompare(t *testing.T) {
	a, b := fixture(t), fixture(t)
	const fast, same, short = "redis/redis-rpc@256", "redis/http@256", "redis/redis-hand@256"
	for i := range b.Cell(fast).Rounds {
		r := &b.Cell(fast).Rounds[i]
		r.Elapsed = r.Elapsed * 10 / 13
		r.Latency.P99 *= 10
	}
	for i := range b.Cell(short).Rounds {
		b.Cell(short).Rounds[i].Elapsed /= 2
	}
	b.Cell(short).Rounds = b.Cell(short).Rounds[:2]
	a.Cell(short).Rounds = a.Cell(short).Rounds[:2]
	b.Cells = slices.DeleteFunc(b.Cells, func(c result.Cell) bool { return c.Key() == "redis/http@1" })
	b.Cells = append(b.Cells, result.Cell{Group: "nats", Leg: "new", InFlight: 1})
	b.Meta.Machine.CPU = "Another"

	c, err := Compare(a, b, DefaultAlpha)
	if err != nil {
		t.Fatal(err)
	}
	if d := find(t, c, fast, "calls/s"); !d.Significant || math.Abs(d.Ratio-1.3) > 0.01 || d.P >= 0.05 || d.NA != 5 || d.NB != 5 || d.change() != "+30.0 %" {
		t.Errorf("%+v, %s", d, d.change())
	}
	if d := find(t, c, fast, "p99"); !d.Significant || d.Ratio != 10 {
		t.Errorf("%+v", d)
	}
	if d := find(t, c, same, "calls/s"); d.Significant || d.Ratio != 1 || d.change() != "~" {
		t.Errorf("%+v", d)
	}
	if d := find(t, c, short, "calls/s"); d.Significant || d.Note == "" || d.Ratio < 1.9 {
		t.Errorf("two rounds: %+v", d)
	}
	if !slices.Contains(c.OnlyA, "redis/http@1") || !slices.Contains(c.OnlyB, "nats/new@1") {
		t.Errorf("only in a: %v, only in b: %v", c.OnlyA, c.OnlyB)
	}
	var out bytes.Buffer
	c.Print(&out)
	for _, want := range []string{"+30.0 %", "+900.0 %", "redis/faststream-redis@1 was measured in neither", "~", "only in a: redis/http@1", "only in b: nats/new@1", "note: the machine differs", "0.008 n=5+5", "ms"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
}

func TestALevelOfSignificance(t *testing.T) {
	a, b := fixture(t), fixture(t)
	for i := range b.Cell("redis/http@256").Rounds {
		b.Cell("redis/http@256").Rounds[i].Elapsed += time.Hour
	}
	c, err := Compare(a, b, 0.001) // five rounds a run can't show so little a chance
	if err != nil {
		t.Fatal(err)
	}
	if d := find(t, c, "redis/http@256", "calls/s"); d.Significant {
		t.Errorf("%+v", d)
	}
	for _, alpha := range []float64{0, 1, -1, math.NaN()} {
		if _, err := Compare(a, b, alpha); err == nil || !strings.Contains(err.Error(), "--alpha") {
			t.Errorf("alpha %v: %v", alpha, err)
		}
	}
}

func TestRunsOfTwoSchemasAreRefused(t *testing.T) {
	a, b := fixture(t), fixture(t)
	b.Schema++
	if _, err := Compare(a, b, DefaultAlpha); err == nil || !strings.Contains(err.Error(), "schema is 1 in the first run and 2") {
		t.Errorf("got %v", err)
	}
}
