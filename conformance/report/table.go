package report

import (
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/streamerson/streamerson/conformance"
)

const (
	// reasonWidth is where a table's last column is wrapped, in characters.
	reasonWidth = 70
	// shownFailures bounds the lines of one scenario's output that are printed; the files have all.
	shownFailures = 30
)

// Print writes the summary table, and before it what the scenarios that failed wrote.
func (r *Report) Print(w io.Writer) {
	for _, e := range r.Entries {
		if e.Outcome == conformance.Failed {
			e.printOutput(w)
		}
	}
	t := newTable(w, "scenario", "area", "outcome", "time", "reason")
	t.SetTitle(fmt.Sprintf("%s %s, durability %s", r.Capabilities.Name, r.Capabilities.Version, r.Durability))
	for _, e := range r.Entries {
		t.AppendRow(table.Row{e.Scenario, e.Area, e.Outcome, short(e.took()), e.Reason})
	}
	t.AppendFooter(table.Row{fmt.Sprintf("%d scenarios", len(r.Entries)), "", "", short(r.took()), r.totals()})
	t.Render()
	_, _ = fmt.Fprintf(w, "seed %d\n", r.Seed)
}

func (e Entry) printOutput(w io.Writer) {
	_, _ = fmt.Fprintf(w, "--- %s: %s\n", e.Outcome, e.Scenario)
	for i, line := range e.Output {
		if i == shownFailures {
			_, _ = fmt.Fprintf(w, "    … and %d more (--json or --junit has them)\n", len(e.Output)-i)
			break
		}
		_, _ = fmt.Fprintf(w, "    %s\n", line)
	}
	_, _ = fmt.Fprintln(w)
}

// PrintList writes a table of scenarios, to choose from.
func PrintList(w io.Writer, scenarios []conformance.Scenario) {
	t := newTable(w, "scenario", "area", "what must hold")
	for _, s := range scenarios {
		t.AppendRow(table.Row{s.Name, s.Area, s.Doc})
	}
	t.Render()
}

func newTable(w io.Writer, head ...any) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header, t.Style().Format.Footer = text.FormatDefault, text.FormatDefault
	t.AppendHeader(head)
	t.SetColumnConfigs([]table.ColumnConfig{
		{Name: "time", Align: text.AlignRight, AlignFooter: text.AlignRight},
		{Name: "reason", WidthMax: reasonWidth, WidthMaxEnforcer: text.WrapSoft},
		{Name: "what must hold", WidthMax: reasonWidth, WidthMaxEnforcer: text.WrapSoft},
	})
	return t
}

func short(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.2fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}
