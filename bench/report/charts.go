package report

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/streamerson/streamerson/bench/result"
)

// Chart is one plot of a run.
type Chart struct {
	// Name is unique in a run and good for a file or an anchor; Title and Caption are for people.
	Name, Title, Caption string
	// Group is the one that its cells belong to.
	Group string

	width, height vg.Length
	plot          *plot.Plot
	legend        plot.Legend
}

const (
	chartWidth  = 520 * vg.Length(1)
	curveHeight = 300 * vg.Length(1)
	// legendGap is between the data and the legend beside them, so that it never covers any.
	legendGap = 14 * vg.Length(1)
	// margin is around all, so that no label is cut.
	margin = 4 * vg.Length(1)
)

// draw puts the legend to the right of the plot.
func (c *Chart) draw(dc draw.Canvas) error {
	if c.plot == nil {
		return errors.New("nothing to draw")
	}
	dc = draw.Crop(dc, margin, -margin, margin, -2*margin)
	rect := c.legend.Rectangle(dc)
	c.legend.Draw(dc)
	c.plot.Draw(draw.Crop(dc, 0, -(rect.Size().X + legendGap), 0, 0))
	return nil
}

func newLegend() plot.Legend {
	l := plot.NewLegend()
	l.Top = true
	l.TextStyle.Font, l.TextStyle.Color = sans(vg.Points(9)), ink
	l.Padding = vg.Points(3)
	l.ThumbnailWidth = vg.Points(22)
	return l
}

// Charts are all that the run has figures for, in the order of the page: for each group throughput and latency over the calls
// in flight, the latencies' distribution, CPU a call, and where a call's time goes.
func Charts(run *result.Run) ([]*Chart, error) {
	var all []*Chart
	for _, g := range run.Groups() {
		for _, make := range []func(*result.Run, string) ([]*Chart, error){curves, percentiles, cpuBars, splitBars} {
			charts, err := make(run, g)
			if err != nil {
				return nil, err
			}
			all = append(all, charts...)
		}
	}
	return all, nil
}

// panel is the cells that one plot sets side by side: of one group, under one workload and load.
type panel struct {
	key, words string
	cells      []*result.Cell
}

// loads are a group's panels by load. A workload that was measured along a curve of calls in flight has the curve, and here
// only the number that goals are about, or its highest.
func loads(run *result.Run, group string, takesPart func(*result.Cell) bool) []*panel {
	levels := map[string][]int{}
	for i := range run.Cells {
		c := &run.Cells[i]
		if c.Group == group && inCurve(c) && !slices.Contains(levels[c.Workload], c.InFlight) {
			levels[c.Workload] = append(levels[c.Workload], c.InFlight)
		}
	}
	return panels(run, group, func(c *result.Cell) bool {
		if l := levels[c.Workload]; inCurve(c) && len(l) >= curveLeast {
			only := slices.Max(l)
			if slices.Contains(l, busy) {
				only = busy
			}
			if c.InFlight != only {
				return false
			}
		}
		return takesPart(c)
	}, loadKey)
}

// busy is the number of calls in flight that goals are about, curveLeast the fewest numbers that make a curve.
const busy, curveLeast = 256, 3

// inCurve: a closed loop that differs from its neighbours in the calls in flight alone.
func inCurve(c *result.Cell) bool { return !c.Open() && c.Streams <= 1 && c.Routes <= 1 }

// panels of a group's cells that take part, by what key makes of a cell, in order.
func panels(run *result.Run, group string, takesPart func(*result.Cell) bool, key func(*result.Cell) (string, string)) (out []*panel) {
	for i := range run.Cells {
		c := &run.Cells[i]
		if c.Group != group || len(c.Rounds) == 0 || !takesPart(c) {
			continue
		}
		k, words := key(c)
		at := slices.IndexFunc(out, func(p *panel) bool { return p.key == k })
		if at < 0 {
			at, out = len(out), append(out, &panel{key: k, words: words})
		}
		out[at].cells = append(out[at].cells, c)
	}
	return out
}

// loadKey tells the loads of one group apart.
func loadKey(c *result.Cell) (key, words string) {
	size := ""
	if c.Workload != result.DefaultWorkload && c.Workload != "" {
		size = c.Workload + ", "
	}
	switch {
	case c.Load != "":
		words = c.Load + " of saturation"
		if !strings.HasSuffix(c.Load, "%") {
			words = c.Load
		}
	case c.Rate > 0:
		words = fmt.Sprintf("%s arrivals a second", number(c.Rate))
	case c.InFlight == 1:
		words = "one call in flight"
	default:
		words = fmt.Sprintf("%d calls in flight", c.InFlight)
	}
	if c.Streams > 1 {
		words += fmt.Sprintf(", %d streams", c.Streams)
	}
	if c.Routes > 1 {
		words += fmt.Sprintf(", %d routes", c.Routes)
	}
	return anchor(size + words), size + words
}

// anchor makes a name good for files and links.
func anchor(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r == '%':
			return 'p'
		}
		return '-'
	}, s)
	return strings.Trim(strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '-' }), "-"), "-")
}

// look is a leg's number in the run: its colour is the same in every plot.
func look(run *result.Run, leg string) int {
	return max(0, slices.IndexFunc(run.Legs, func(l result.Leg) bool { return l.Name == leg }))
}

// legName is what a leg is called in legends: short, with what kind of thing it is.
func legName(run *result.Run, name string) string {
	if l := run.Leg(name); l != nil && l.Rival {
		return name + " (rival)"
	}
	return name
}

// WritePNG draws each chart into a file of its name in dir, which it makes if need be, and returns the files' paths.
func WritePNG(dir string, run *result.Run) ([]string, error) {
	charts, err := Charts(run)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // pictures are no secret
		return nil, fmt.Errorf("report: %w", err)
	}
	var files []string
	for _, c := range charts {
		file := filepath.Join(dir, c.Name+".png")
		f, err := os.Create(file) //nolint:gosec // the user names the directory
		if err != nil {
			return files, fmt.Errorf("report: %w", err)
		}
		if err := errors.Join(c.png(f), f.Close()); err != nil {
			return files, err
		}
		files = append(files, file)
	}
	return files, nil
}
