package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/streamerson/streamerson/conformance"
	"github.com/streamerson/streamerson/transport"
)

// capabilityRows are the lines of the table of capabilities: what a user of a transport can rely on.
var capabilityRows = []struct {
	name, means string
	value       func(transport.Capabilities) string
}{
	{"durability", "what an accepted request survives; each level includes those before it: memory, process-crash, fsync, quorum", func(c transport.Capabilities) string { return c.Durability.String() }},
	{"waits for workers", "what is accepted waits at the broker while nobody is there to take it", func(c transport.Capabilities) string { return yes(c.Stored) }},
	{"takes over", "a request whose worker stalls past its lease goes to another one", func(c transport.Capabilities) string { return yes(c.Redeliver) }},
	{"long handlers", "a worker can extend its lease", func(c transport.Capabilities) string { return yes(c.Extend) }},
	{"give back", "a worker can give a request back for another attempt", func(c transport.Capabilities) string { return yes(c.Release) }},
	{"give back later", "the broker keeps it away for a while; elsewhere the worker holds it", func(c transport.Capabilities) string { return yes(c.ReleaseDelay) }},
	{"dedup by broker", "a publish with an unknown outcome can be repeated", func(c transport.Capabilities) string { return yes(c.Dedup) }},
	{"order by key", "requests with one key are taken in order", func(c transport.Capabilities) string { return yes(c.OrderedByKey) }},
	{"backlog limit", "a stream refuses requests past its limit", func(c transport.Capabilities) string { return yes(c.Backlog) }},
	{"broker's clock", "expiry is decided by the broker's clock", func(c transport.Capabilities) string { return yes(c.BrokerTime) }},
	{"live workers", "a call that nobody serves is refused at once", func(c transport.Capabilities) string { return yes(c.LiveConsumers) }},
	{"browse", "dead letters can be listed, replayed and deleted", func(c transport.Capabilities) string { return yes(c.Browse) }},
	{"other processes", "reaches beyond one process", func(c transport.Capabilities) string { return yes(c.CrossProcess) }},
	{"largest message", "body and envelope of one request or reply, as its broker is set up here", func(c transport.Capabilities) string { return size(c.MaxBody) }},
	{"connections", "the most that one process holds", func(c transport.Capabilities) string {
		if c.Connections == 0 {
			return "grows"
		}
		return fmt.Sprint(c.Connections)
	}},
	{"silence", "the longest that sending takes while a broker does not answer", func(c transport.Capabilities) string {
		if c.Silence == 0 {
			return "unknown"
		}
		return c.Silence.String()
	}},
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "–"
}

func size(n int) string {
	switch {
	case n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	default:
		return fmt.Sprintf("%d KiB", n>>10)
	}
}

// Column is one transport of the table of capabilities.
type Column struct {
	Name         string
	Capabilities transport.Capabilities
}

// WriteCapabilities writes the table of capabilities: a line for each, a column for each transport.
func WriteCapabilities(w io.Writer, columns []Column) error {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	t := markdownTable{}
	t.row(slices.Concat([]string{""}, names, []string{"what it means"})...)
	for _, r := range capabilityRows {
		cells := []string{r.name}
		for _, c := range columns {
			cells = append(cells, r.value(c.Capabilities))
		}
		t.row(append(cells, r.means)...)
	}
	return t.write(w)
}

// WriteMarkdown writes the page that docs/transports.md is, from reports of one or several versions of each transport.
func WriteMarkdown(w io.Writer, reports []*Report) error {
	p := page{w: w}
	p.text("# Transports\n\nMade by `make docs-transports` from runs of the [conformance suite](../conformance/doc.go): each claim was seen to hold, and what is\n" +
		"not claimed (–) was seen to be refused. To certify a broker of your own: `streamerson conform --transport URL`.\n\n## What each gives\n\n")
	var columns []Column
	for _, r := range reports {
		if !slices.ContainsFunc(columns, func(c Column) bool { return c.Name == r.Broker }) {
			columns = append(columns, Column{r.Broker, r.Capabilities})
		}
	}
	p.keep(WriteCapabilities(w, columns))
	p.text("\n## On which versions\n\n")
	versions := markdownTable{}
	versions.row("transport", "version", "how durability was found out", "waits ×", "passed", "refused as declared", "not run", "failed")
	for _, r := range reports {
		cells := []string{r.Broker, r.Capabilities.Version, r.Capabilities.DurabilityNote, fmt.Sprint(r.Slow)}
		for _, o := range []conformance.Outcome{conformance.Passed, conformance.Refused, conformance.NotRun, conformance.Failed} {
			cells = append(cells, fmt.Sprint(r.Count(o)))
		}
		versions.row(cells...)
	}
	p.keep(versions.write(w))
	p.text("\n## Scenario by scenario\n\n✓ passed, r refused as declared, – not run.\n\n")
	scenarios := scenarioTable(reports, columns)
	p.keep(scenarios.write(w))
	p.text("\n## Why something was refused or not run\n\n")
	reasons := reasonTable(reports)
	p.keep(reasons.write(w))
	return p.err
}

// scenarioTable has a line for each scenario of any report; of several versions of a transport the worst outcome counts.
func scenarioTable(reports []*Report, columns []Column) markdownTable {
	docs := map[string]string{}
	for _, s := range conformance.Scenarios(conformance.Harness{}) {
		docs[s.Name] = s.Doc
	}
	var t markdownTable
	head := []string{"scenario"}
	for _, c := range columns {
		head = append(head, c.Name)
	}
	t.row(append(head, "what must hold")...)
	seen := map[string]bool{}
	for _, r := range reports {
		for _, e := range r.Entries {
			if seen[e.Scenario] {
				continue
			}
			seen[e.Scenario] = true
			cells := []string{e.Scenario}
			for _, c := range columns {
				cells = append(cells, mark(worst(reports, c.Name, e.Scenario)))
			}
			t.row(append(cells, docs[e.Scenario])...)
		}
	}
	return t
}

func worst(reports []*Report, broker, scenario string) (found conformance.Outcome) {
	order := []conformance.Outcome{"", conformance.NotRun, conformance.Passed, conformance.Refused, Interrupted, conformance.Failed}
	for _, r := range reports {
		for _, e := range r.Entries {
			if r.Broker == broker && e.Scenario == scenario && slices.Index(order, e.Outcome) > slices.Index(order, found) {
				found = e.Outcome
			}
		}
	}
	return found
}

func mark(o conformance.Outcome) string {
	switch o {
	case conformance.Passed:
		return "✓"
	case conformance.Refused:
		return "r"
	case conformance.NotRun, "":
		return "–"
	default:
		return "**" + string(o) + "**"
	}
}

// reasonTable says why scenarios were refused or not run; failures are not excused here.
func reasonTable(reports []*Report) markdownTable {
	var t markdownTable
	t.row("transport", "scenario", "why")
	seen := map[string]bool{}
	for _, r := range reports {
		for _, e := range r.Entries {
			key := r.Broker + " " + e.Scenario
			if (e.Outcome == conformance.Refused || e.Outcome == conformance.NotRun) && !seen[key] {
				seen[key] = true
				t.row(r.Broker, e.Scenario, string(e.Outcome)+": "+e.Reason)
			}
		}
	}
	return t
}

// page remembers the first error of writing.
type page struct {
	w   io.Writer
	err error
}

func (p *page) text(s string) {
	_, err := io.WriteString(p.w, s)
	p.keep(err)
}

func (p *page) keep(err error) {
	if p.err == nil {
		p.err = err
	}
}

// markdownTable's first row is its head.
type markdownTable struct{ rows [][]string }

func (t *markdownTable) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *markdownTable) write(w io.Writer) error {
	var b strings.Builder
	for i, r := range t.rows {
		for _, c := range r {
			b.WriteString("| " + strings.ReplaceAll(strings.Join(strings.Fields(c), " "), "|", `\|`) + " ")
		}
		b.WriteString("|\n")
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(r)) + "|\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
