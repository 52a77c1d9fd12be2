package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/streamerson/streamerson/bench/result"
)

// curves draws each workload's legs along their numbers of calls in flight: what comes out a second, and how long a call
// takes meanwhile.
func curves(run *result.Run, group string) ([]*Chart, error) {
	var out []*Chart
	for _, p := range panels(run, group, inCurve, func(c *result.Cell) (string, string) { return anchor(c.Workload), c.Workload }) {
		legs := slices.DeleteFunc(byLeg(p.cells), func(cells []*result.Cell) bool { return len(cells) < curveLeast })
		if len(legs) == 0 {
			continue
		}
		for _, q := range []struct {
			name string
			of   func(result.Round) float64
		}{
			{"p50", func(r result.Round) float64 { return float64(r.Latency.P50) }},
			{"p99", func(r result.Round) float64 { return float64(r.Latency.P99) }},
		} {
			c, err := curve(run, group, p, legs, q.name, q.of)
			if err != nil {
				return nil, err
			}
			if c != nil {
				out = append(out, c)
			}
		}
	}
	return out, nil
}

// byLeg sorts cells into one row for each leg, by calls in flight.
func byLeg(cells []*result.Cell) (legs [][]*result.Cell) {
	for _, c := range cells {
		at := slices.IndexFunc(legs, func(l []*result.Cell) bool { return l[0].Leg == c.Leg })
		if at < 0 {
			legs = append(legs, nil)
			at = len(legs) - 1
		}
		legs[at] = append(legs[at], c)
	}
	for _, l := range legs {
		slices.SortStableFunc(l, func(a, b *result.Cell) int { return cmp.Compare(a.InFlight, b.InFlight) })
	}
	return legs
}

// curve is nil when not one call of the legs succeeded.
func curve(run *result.Run, group string, p *panel, legs [][]*result.Cell, quantile string, of func(result.Round) float64) (*Chart, error) {
	pl, legend := newPlot("calls answered a second", quantile+" latency"), newLegend()
	logLatency(pl)
	var most float64
	for _, cells := range legs {
		i := look(run, cells[0].Leg)
		pts, marks := plotter.XYs{}, plotter.XYLabels{}
		for _, c := range cells {
			x, y := c.Over(result.Round.Rate).Median, c.Over(of).Median
			if x <= 0 || y <= 0 {
				continue // no call succeeded: the table says so
			}
			most = max(most, x)
			pts = append(pts, plotter.XY{X: x, Y: y})
			marks.Labels = append(marks.Labels, strconv.Itoa(c.InFlight))
		}
		if len(pts) == 0 {
			continue
		}
		marks.XYs = pts
		line, points, err := plotter.NewLinePoints(pts)
		if err != nil {
			return nil, fmt.Errorf("report: %s: %w", p.words, err)
		}
		line.LineStyle, points.GlyphStyle = lineOf(i), glyphOf(i)
		labels, err := plotter.NewLabels(marks)
		if err != nil {
			return nil, fmt.Errorf("report: %s: %w", p.words, err)
		}
		for j := range labels.TextStyle {
			labels.TextStyle[j].Font, labels.TextStyle[j].Color = sans(vg.Points(7)), palette[i%len(palette)]
			labels.TextStyle[j].XAlign = draw.XCenter
		}
		labels.Offset = vg.Point{Y: vg.Points(4)}
		pl.Add(line, points, labels)
		legend.Add(legName(run, cells[0].Leg), line, points)
	}
	if most == 0 {
		return nil, nil
	}
	apart(pl)
	pl.X.Min, pl.X.Max = 0, most*1.04
	pl.X.Tick.Marker = countTicks{}
	return &Chart{
		Name: anchor(group + "-curve-" + quantile + "-" + p.words), Group: group, Title: fmt.Sprintf("%s: throughput and %s latency, %s", group, quantile, p.words),
		Caption: "Medians of the rounds. The numbers are calls in flight: further right is more throughput, lower is a shorter wait.",
		width:   chartWidth, height: curveHeight, plot: pl, legend: legend,
	}, nil
}

// logLatency makes Y a logarithmic axis of durations in nanoseconds.
func logLatency(p *plot.Plot) {
	p.Y.Scale = plot.LogScale{}
	p.Y.Tick.Marker = durationTicks{}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = faint, faint
	p.Add(grid)
}

// apart widens Y when all values are the same: a logarithmic axis needs two ends.
func apart(p *plot.Plot) {
	if p.Y.Max < p.Y.Min*1.2 {
		p.Y.Min, p.Y.Max = p.Y.Min/1.5, p.Y.Max*1.5
	}
}

// durationTicks are 1, 2 and 5 times the powers of ten, with units.
type durationTicks struct{}

// Ticks implements plot.Ticker.
func (durationTicks) Ticks(lo, hi float64) (ticks []plot.Tick) {
	if lo <= 0 || hi <= lo {
		return nil
	}
	decades := math.Log10(hi / lo)
	for e := math.Floor(math.Log10(lo)); e <= math.Ceil(math.Log10(hi)); e++ {
		for _, m := range []float64{1, 2, 5} {
			v := m * math.Pow(10, e)
			if v < lo*0.999 || v > hi*1.001 {
				continue
			}
			t := plot.Tick{Value: v}
			if m == 1 || decades < 2.5 {
				t.Label = latency(time.Duration(v))
			}
			ticks = append(ticks, t)
		}
	}
	return ticks
}

// countTicks are the usual ones, with k for thousands.
type countTicks struct{}

// Ticks implements plot.Ticker.
func (countTicks) Ticks(lo, hi float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(lo, hi)
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = number(ticks[i].Value)
		}
	}
	return ticks
}
