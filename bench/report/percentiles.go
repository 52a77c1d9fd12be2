package report

import (
	"fmt"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"

	"github.com/streamerson/streamerson/bench/result"
)

// percentiles draws, for each load, the legs' latencies from the median to the longest: the usual picture of an
// HdrHistogram, whose X axis gives each further nine the same room. Legs whose client gave no histogram have their five
// quantiles instead.
func percentiles(run *result.Run, group string) ([]*Chart, error) {
	var out []*Chart
	for _, p := range loads(run, group, func(*result.Cell) bool { return true }) {
		pl, legend := newPlot("percentile of calls", "latency"), newLegend()
		logLatency(pl)
		drawn, most := 0, 0.0
		for _, c := range p.cells {
			pts, err := distribution(c)
			if err != nil {
				return nil, err
			}
			if len(pts) < 2 {
				continue
			}
			line, err := plotter.NewLine(pts)
			if err != nil {
				return nil, fmt.Errorf("report: %s: %w", c.Key(), err)
			}
			line.LineStyle = lineOf(look(run, c.Leg))
			pl.Add(line)
			legend.Add(legName(run, c.Leg), line)
			most, drawn = max(most, pts[len(pts)-1].X), drawn+1
		}
		if drawn == 0 {
			continue
		}
		apart(pl)
		pl.X.Min, pl.X.Max = 0, most
		pl.X.Tick.Marker = nines{}
		out = append(out, &Chart{
			Name: anchor(group + "-latency-" + p.key), Group: group, Title: fmt.Sprintf("%s: latency, %s", group, p.words),
			Caption: "All rounds together. In open loop a latency counts from the time that the call was meant to be sent.",
			width:   chartWidth, height: curveHeight, plot: pl, legend: legend,
		})
	}
	return out, nil
}

// distribution is a cell's latencies in nanoseconds over −log10(1 − q).
func distribution(c *result.Cell) (plotter.XYs, error) {
	h, err := c.Histogram()
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	n := h.TotalCount()
	if n == 0 {
		return fewQuantiles(c), nil
	}
	var pts plotter.XYs
	// Twelve points a nine are a smooth line; beyond one call in n there is only the longest.
	for x := 0.0; x < math.Log10(float64(n)); x += 1.0 / 12 {
		if v := float64(h.ValueAtQuantile(100 * (1 - math.Pow(10, -x)))); v > 0 {
			pts = append(pts, plotter.XY{X: x, Y: v})
		}
	}
	if v := float64(h.Max()); v > 0 && n > 1 {
		pts = append(pts, plotter.XY{X: math.Log10(float64(n)), Y: v})
	}
	return pts, nil
}

func fewQuantiles(c *result.Cell) (pts plotter.XYs) {
	for _, q := range []struct {
		x  float64
		of func(result.Round) float64
	}{
		{math.Log10(2), func(r result.Round) float64 { return float64(r.Latency.P50) }},
		{1, func(r result.Round) float64 { return float64(r.Latency.P90) }},
		{2, func(r result.Round) float64 { return float64(r.Latency.P99) }},
		{3, func(r result.Round) float64 { return float64(r.Latency.P999) }},
	} {
		if v := c.Over(q.of).Median; v > 0 {
			pts = append(pts, plotter.XY{X: q.x, Y: v})
		}
	}
	return pts
}

// nines are the marks of a percentile axis.
type nines struct{}

// Ticks implements plot.Ticker.
func (nines) Ticks(lo, hi float64) []plot.Tick {
	all := []plot.Tick{
		{Value: 0, Label: "0"}, {Value: math.Log10(2), Label: "50"}, {Value: 1, Label: "90"}, {Value: 2, Label: "99"},
		{Value: 3, Label: "99.9"}, {Value: 4, Label: "99.99"}, {Value: 5, Label: "99.999"}, {Value: 6, Label: "99.9999"}, {Value: 7, Label: "99.99999"},
	}
	var ticks []plot.Tick
	for _, t := range all {
		if t.Value >= lo && t.Value <= hi {
			ticks = append(ticks, t)
		}
	}
	return ticks
}
