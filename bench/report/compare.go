package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/perf/benchmath"

	"github.com/streamerson/streamerson/bench/result"
)

// DefaultAlpha is the usual level: of twenty figures that did not change, one is taken for a change.
const DefaultAlpha = 0.05

// Difference is one figure of one cell in two runs.
type Difference struct {
	// Cell is its key, Metric what was measured.
	Cell, Metric string
	// A and B are the medians of the runs' rounds, Ratio is B ÷ A. NA and NB are the numbers of rounds.
	A, B, Ratio float64
	NA, NB      int
	// P is Mann and Whitney's U test's: how likely two runs of the same program differ as much. Significant is P < alpha.
	P           float64
	Significant bool
	// Note says why the test can't tell, such as too few rounds.
	Note string
	// time is set when A and B are nanoseconds.
	time bool
}

// Comparison is what differs between two runs.
type Comparison struct {
	Differences []Difference
	// OnlyA and OnlyB are the keys of cells that the other run has no figures for.
	OnlyA, OnlyB []string
	// Notes are what makes the runs less comparable: another machine, another size of visits, cells that neither measured.
	Notes []string
}

// metrics that are compared. A figure that neither run was told is left out.
var metrics = []struct {
	name string
	time bool
	of   func(result.Round) float64
}{
	{"calls/s", false, result.Round.Rate},
	{"p50", true, func(r result.Round) float64 { return float64(r.Latency.P50) }},
	{"p99", true, func(r result.Round) float64 { return float64(r.Latency.P99) }},
	{"p99.9", true, func(r result.Round) float64 { return float64(r.Latency.P999) }},
	{"CPU µs/call", false, result.Round.CPUPerCall},
	{"allocations/call", false, result.Round.AllocsPerCall},
	{"broker commands/call", false, result.Round.CommandsPerCall},
	{"broker bytes/call", false, result.Round.BrokerBytesPerCall},
}

// Compare sets b against a, cell by cell. alpha is the level of significance, above 0 and below 1.
func Compare(a, b *result.Run, alpha float64) (*Comparison, error) {
	if !(alpha > 0 && alpha < 1) {
		return nil, fmt.Errorf("report: --alpha is %g; give a level between 0 and 1, such as %g", alpha, DefaultAlpha)
	}
	if a.Schema != b.Schema {
		return nil, fmt.Errorf("report: field schema is %d in the first run and %d in the second; measure one of them again", a.Schema, b.Schema)
	}
	c := &Comparison{Notes: unlike(a, b)}
	thresholds := benchmath.DefaultThresholds
	thresholds.CompareAlpha = alpha
	for i := range a.Cells {
		ca := &a.Cells[i]
		cb := b.Cell(ca.Key())
		inA, inB := len(ca.Rounds) > 0, cb != nil && len(cb.Rounds) > 0
		switch {
		case inA && !inB:
			c.OnlyA = append(c.OnlyA, ca.Key())
		case inB && !inA:
			c.OnlyB = append(c.OnlyB, ca.Key())
		case !inA:
			c.Notes = append(c.Notes, ca.Key()+" was measured in neither run")
		}
		if !inA || !inB {
			continue
		}
		for _, m := range metrics {
			va, vb := values(ca, m.of), values(cb, m.of)
			if slices.Max(va) == 0 && slices.Max(vb) == 0 {
				continue
			}
			d := difference(va, vb, &thresholds)
			d.Cell, d.Metric, d.time = ca.Key(), m.name, m.time
			c.Differences = append(c.Differences, d)
		}
	}
	for i := range b.Cells {
		if k := b.Cells[i].Key(); a.Cell(k) == nil {
			c.OnlyB = append(c.OnlyB, k)
		}
	}
	return c, nil
}

func values(c *result.Cell, of func(result.Round) float64) []float64 {
	out := make([]float64, len(c.Rounds))
	for i, r := range c.Rounds {
		out[i] = of(r)
	}
	return out
}

func difference(va, vb []float64, t *benchmath.Thresholds) Difference {
	d := Difference{A: result.SpreadOf(va).Median, B: result.SpreadOf(vb).Median, NA: len(va), NB: len(vb), Ratio: math.NaN()}
	if d.A != 0 {
		d.Ratio = d.B / d.A
	}
	got := benchmath.AssumeNothing.Compare(benchmath.NewSample(va, t), benchmath.NewSample(vb, t))
	d.P, d.Significant = got.P, got.P < got.Alpha
	for _, w := range got.Warnings {
		d.Note, d.Significant = w.Error(), false
	}
	return d
}

// unlike says in what the two runs' circumstances differ.
func unlike(a, b *result.Run) (notes []string) {
	say := func(what, x, y string) {
		if x != y {
			notes = append(notes, fmt.Sprintf("%s differs: %s and %s", what, orUnknown(x), orUnknown(y)))
		}
	}
	ma, mb := a.Meta.Machine, b.Meta.Machine
	say("the machine", fmt.Sprintf("%s, %d cores", ma.CPU, ma.Cores), fmt.Sprintf("%s, %d cores", mb.CPU, mb.Cores))
	say("the kernel", ma.Kernel, mb.Kernel)
	say("the seed", fmt.Sprint(a.Meta.Seed), fmt.Sprint(b.Meta.Seed))
	say("the list of settings", pairs(a.Meta.Config), pairs(b.Meta.Config))
	say("the list of versions", pairs(a.Meta.Versions), pairs(b.Meta.Versions))
	return notes
}

// Print writes a table for a terminal.
func (c *Comparison) Print(w io.Writer) {
	for _, n := range c.Notes {
		_, _ = fmt.Fprintln(w, "note: "+n)
	}
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{"cell", "metric", "a", "b", "b ÷ a", "change", "p", ""})
	right := []table.ColumnConfig{}
	for n := 3; n <= 7; n++ {
		right = append(right, table.ColumnConfig{Number: n, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(right)
	last := ""
	for _, d := range c.Differences {
		cell := d.Cell
		if cell == last {
			cell = ""
		} else if last != "" {
			t.AppendSeparator()
		}
		last = d.Cell
		t.AppendRow(table.Row{cell, d.Metric, d.show(d.A), d.show(d.B), ratio(d.Ratio), d.change(), fmt.Sprintf("%.3f n=%d+%d", d.P, d.NA, d.NB), d.Note})
	}
	t.Render()
	for _, k := range c.OnlyA {
		_, _ = fmt.Fprintln(w, "only in a: "+k)
	}
	for _, k := range c.OnlyB {
		_, _ = fmt.Fprintln(w, "only in b: "+k)
	}
}

func (d Difference) show(v float64) string {
	if d.time {
		return latency(time.Duration(v))
	}
	return digits(v)
}

// change is "~" where the test sees none.
func (d Difference) change() string {
	if !d.Significant || math.IsNaN(d.Ratio) {
		return "~"
	}
	return fmt.Sprintf("%+.1f %%", 100*(d.Ratio-1))
}

func ratio(v float64) string {
	if math.IsNaN(v) {
		return "—"
	}
	return fmt.Sprintf("%.3f", v)
}
