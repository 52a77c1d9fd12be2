package report

import (
	"fmt"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/streamerson/streamerson/bench/result"
)

// part is one piece of a stacked bar.
type part struct {
	name string
	of   func(result.Round) float64
}

// cpuBars stacks the microseconds of CPU that a call takes, by process, for each load.
func cpuBars(run *result.Run, group string) ([]*Chart, error) {
	var parts []part
	for _, p := range result.Parts {
		parts = append(parts, part{p, func(r result.Round) float64 { us, _ := r.PartCPU(p); return us }})
	}
	return stack{
		key: "cpu", title: "CPU a call", axis: "µs of CPU a call, all processes", ticks: countTicks{}, parts: parts,
		caption: "Medians of the rounds: user and system time of each process, divided by the calls.",
		tells:   func(c *result.Cell) bool { return c.Over(result.Round.CPUPerCall).Median > 0 },
	}.charts(run, group)
}

// splitBars stacks where a call's time went, for the cells that can tell.
func splitBars(run *result.Run, group string) ([]*Chart, error) {
	stage := func(name string, of func(*result.Split) time.Duration) part {
		return part{name, func(r result.Round) float64 {
			if r.Split == nil {
				return 0
			}
			return float64(of(r.Split))
		}}
	}
	parts := []part{
		stage("HTTP, gateway", func(s *result.Split) time.Duration { return s.Outside }),
		stage("gateway wait", func(s *result.Split) time.Duration { return s.Wait }),
		stage("queue", func(s *result.Split) time.Duration { return s.Queue }),
		stage("handler", func(s *result.Split) time.Duration { return s.Handler }),
		stage("reply", func(s *result.Split) time.Duration { return s.Reply }),
	}
	return stack{
		key: "time", title: "where a call's time goes", axis: "median time of a call", ticks: linearDurations{}, parts: parts,
		caption: "Medians of a sample of calls: in the HTTP gateway, until the broker has the request, in the stream, in the handler, and the reply's way back.",
		tells:   func(c *result.Cell) bool { return c.Rounds[0].Split != nil },
	}.charts(run, group)
}

// stack is one kind of stacked bars.
type stack struct {
	key, title, axis, caption string
	ticks                     plot.Ticker
	parts                     []part
	// tells says which cells have the figures.
	tells func(*result.Cell) bool
}

// charts are those of a group, one for each load.
func (s stack) charts(run *result.Run, group string) ([]*Chart, error) {
	var out []*Chart
	for _, p := range loads(run, group, s.tells) {
		c, err := bars(run, p, s.parts, s.axis, s.ticks)
		if err != nil {
			return nil, err
		}
		c.Name, c.Group, c.Title, c.Caption = anchor(group+"-"+s.key+"-"+p.key), group, fmt.Sprintf("%s: %s, %s", group, s.title, p.words), s.caption
		out = append(out, c)
	}
	return out, nil
}

const (
	barHeight = 16 * vg.Length(1)
	barGap    = 12 * vg.Length(1)
	// barsAround is the room for axis, labels and the space above.
	barsAround = 64 * vg.Length(1)
	// barsLeast leaves room for the legend beside a single bar.
	barsLeast = 130 * vg.Length(1)
)

// bars are horizontal, one for each cell, the first on top.
func bars(run *result.Run, p *panel, parts []part, axis string, ticks plot.Ticker) (*Chart, error) {
	pl, legend := newPlot(axis, ""), newLegend()
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Width = faint, 0
	pl.Add(grid)
	n := len(p.cells)
	names := make([]string, n)
	var below *plotter.BarChart
	for i, pt := range parts {
		values, any := make(plotter.Values, n), false
		for j, c := range p.cells {
			values[n-1-j] = c.Over(pt.of).Median
			any = any || values[n-1-j] > 0
			names[n-1-j] = legName(run, c.Leg)
		}
		if !any {
			continue
		}
		b, err := plotter.NewBarChart(values, barHeight)
		if err != nil {
			return nil, fmt.Errorf("report: %s: %w", p.words, err)
		}
		b.Color, b.Horizontal, b.LineStyle.Width = palette[i%len(palette)], true, 0
		if below != nil {
			b.StackOn(below)
		}
		below = b
		pl.Add(b)
		legend.Add(pt.name, b)
	}
	pl.NominalY(names...)
	pl.Y.Tick.Label.Font, pl.Y.Color = sans(vg.Points(9)), faint
	pl.X.Min, pl.X.Max, pl.X.Tick.Marker = 0, pl.X.Max*1.02, ticks
	return &Chart{
		width: chartWidth, height: max(barsLeast, barsAround+vg.Length(n)*(barHeight+barGap)), plot: pl, legend: legend,
	}, nil
}

// linearDurations are the usual ticks, as times.
type linearDurations struct{}

// Ticks implements plot.Ticker.
func (linearDurations) Ticks(lo, hi float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(lo, hi)
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = latency(time.Duration(ticks[i].Value))
		}
	}
	return ticks
}
