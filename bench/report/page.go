package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/streamerson/streamerson/bench/result"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page is what page.html shows.
type page struct {
	Title    string
	Facts    []fact
	Summary  string
	Goals    []goalRow
	Groups   []groupPart
	Legs     []legRow
	Soaks    []soakRow
	Failures []failure
}

type fact struct{ Name, Value string }

// groupPart is one interleaved run: its table and its plots.
type groupPart struct {
	Name   string
	Cells  []cellRow
	Charts []drawn
}

type drawn struct {
	Name, Title, Caption string
	SVG                  template.HTML
}

// WriteHTML writes the run as one page that needs nothing else: no script, and no address that a browser would ask. An error
// is w's, or that of a histogram in the run that can't be read.
func WriteHTML(w io.Writer, run *result.Run) error {
	p := page{
		Title: "streamerson benchmark, " + run.Meta.Started.UTC().Format("2006-01-02 15:04 UTC"),
		Facts: facts(run), Goals: goalRows(run), Legs: legRows(run), Soaks: soakRows(run), Failures: failures(run),
	}
	p.Summary = summary(run)
	charts, err := Charts(run)
	if err != nil {
		return err
	}
	for _, g := range run.Groups() {
		part := groupPart{Name: g, Cells: cellRows(run, g)}
		for _, c := range charts {
			if c.Group != g {
				continue
			}
			svg, err := c.svg()
			if err != nil {
				return err
			}
			part.Charts = append(part.Charts, drawn{c.Name, c.Title, c.Caption, template.HTML(svg)}) //nolint:gosec // names are escaped where they are drawn
		}
		p.Groups = append(p.Groups, part)
	}
	if err := pageTemplate.Execute(w, p); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// facts are the page's header: on what, with what and how was measured.
func facts(run *result.Run) []fact {
	m := run.Meta
	out := []fact{
		{"Started", m.Started.UTC().Format("2006-01-02 15:04:05 UTC")},
		{"Took", m.Took.Round(time.Second).String()},
		{"Machine", fmt.Sprintf("%s, %d cores, %s of memory", orUnknown(m.Machine.CPU), m.Machine.Cores, size(m.Machine.Memory))},
		{"System", strings.TrimSpace(fmt.Sprintf("%s %s, %s", m.Machine.OS, m.Machine.Kernel, m.Machine.Arch))},
		{"Load before", fmt.Sprintf("%.2f", m.Machine.LoadBefore)},
	}
	if m.Machine.LoadBefore > busyMachine {
		out[len(out)-1].Value += " — others worked on the machine: figures of this run are worth less"
	}
	out = append(out, fact{"Program", orUnknown(m.GitVersion)}, fact{"Command", orUnknown(m.Command)}, fact{"Seed", fmt.Sprint(m.Seed)})
	return append(out, fact{"Versions", pairs(m.Versions)}, fact{"Settings", pairs(m.Config)})
}

// busyMachine is the load average above which the page warns, as result.Machine has it.
const busyMachine = 0.5

func pairs(m map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+" "+m[k])
	}
	return orUnknown(strings.Join(out, ", "))
}

func orUnknown(s string) string {
	if s == "" {
		return "not told"
	}
	return s
}

// summary is the page's first sentence.
func summary(run *result.Run) string {
	counts := map[string]int{}
	for _, g := range run.Goals {
		counts[g.Verdict]++
	}
	s := fmt.Sprintf("%d goals met, %d unmet, %d not measured.", counts[result.Met], counts[result.Unmet], counts[result.NotMeasured])
	ok, dropped := 0, 0
	for i := range run.Cells {
		for _, r := range run.Cells[i].Rounds {
			ok, dropped = ok+r.OK, dropped+r.Dropped
		}
	}
	for _, k := range run.Soaks {
		ok += k.OK
	}
	s += fmt.Sprintf(" %s calls were answered with the right bytes", count(float64(ok)))
	if n := run.Failed(); n > 0 {
		s += fmt.Sprintf("; %s FAILED, see below", count(float64(n)))
	} else {
		s += "; none was lost, wrong or failed"
	}
	if dropped > 0 {
		s += fmt.Sprintf("; %s arrivals of open loops found the cap of calls in flight reached and were dropped", count(float64(dropped)))
	}
	return s + "."
}
