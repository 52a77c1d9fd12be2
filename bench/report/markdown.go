package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/streamerson/streamerson/bench/result"
)

// blocks are what Into can write, by the word in the mark.
var blocks = map[string]func(*strings.Builder, *result.Run){"run": runBlock, "goals": goalBlock, "unmet": unmetBlock, "cells": cellBlock}

// blockEnd is the line that ends a block.
const blockEnd = "<!-- end -->"

// Into replaces parts of a Markdown text by a run's figures: what stands between a line <!-- NAME: BLOCK --> and the next <!-- end -->,
// where name is the run's. The blocks are "run" (machine, versions, failures), "goals" (all of them), "unmet" (those that were not
// reached) and "cells" (closed loops by group). A text without such a line is an error, so is a block that nobody knows.
func Into(text, name string, run *result.Run) (string, error) {
	var out strings.Builder
	begin, found := "<!-- "+name+": ", 0
	lines := strings.SplitAfter(text, "\n")
	for i := 0; i < len(lines); i++ {
		out.WriteString(lines[i])
		block, ok := strings.CutPrefix(strings.TrimSpace(lines[i]), begin)
		if !ok {
			continue
		}
		block = strings.TrimSuffix(block, " -->")
		write := blocks[block]
		if write == nil {
			return "", fmt.Errorf("report: line %d: there is no block %q; there are run, goals, unmet and cells", i+1, block)
		}
		n := slices.IndexFunc(lines[i:], func(l string) bool { return strings.TrimSpace(l) == blockEnd })
		if n < 0 {
			return "", fmt.Errorf("report: line %d: no %s ends the block", i+1, blockEnd)
		}
		out.WriteString("\n")
		write(&out, run)
		out.WriteString("\n" + lines[i+n])
		i += n
		found++
	}
	if found == 0 {
		return "", fmt.Errorf("report: no line of the file begins with %q", begin)
	}
	return out.String(), nil
}

func runBlock(b *strings.Builder, run *result.Run) {
	m := run.Meta
	fmt.Fprintf(b, "`%s`, %s, begun %s. %s, %d cores, %s, kernel %s, load before the run %s, seed %d.\n", m.Command, m.Took.Round(time.Second),
		m.Started.UTC().Format("2006-01-02 15:04 UTC"), m.Machine.CPU, m.Machine.Cores, m.Machine.OS, m.Machine.Kernel, digits(m.Machine.LoadBefore), m.Seed)
	var versions []string
	for name, v := range m.Versions {
		versions = append(versions, name+" "+v)
	}
	slices.Sort(versions)
	fmt.Fprintf(b, "Versions: %s.\n", strings.Join(versions, ", "))
	if n := run.Failed(); n > 0 {
		fmt.Fprintf(b, "%d calls failed.\n", n)
	} else {
		b.WriteString("No call failed.\n")
	}
}

func goalBlock(b *strings.Builder, run *result.Run) {
	b.WriteString("| comparison | of | goal | median (min – max) | |\n|---|---|---|---|---|\n")
	for _, r := range goalRows(run) {
		verdict := r.Verdict
		switch r.Class {
		case "unmet":
			verdict = "**" + verdict + "**"
		case "":
			verdict = ""
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s (%s) | %s |\n", cellText(r.Title), cellText(r.What), r.Target, r.Ratio, r.Range, verdict)
	}
}

func unmetBlock(b *strings.Builder, run *result.Run) {
	met := 0
	var unmet []string
	for _, r := range goalRows(run) {
		switch r.Class {
		case "met":
			met++
		case "unmet":
			unmet = append(unmet, fmt.Sprintf("- %s, %s: %s (%s), goal %s\n", r.Title, r.What, r.Ratio, r.Range, r.Target))
		}
	}
	fmt.Fprintf(b, "%d goals are met, %d are not.\n", met, len(unmet))
	if len(unmet) > 0 {
		b.WriteString("\n" + strings.Join(unmet, ""))
	}
}

// cellBlock shows closed loops, the fastest of a group and level first.
func cellBlock(b *strings.Builder, run *result.Run) {
	b.WriteString("| group | calls | leg | accepted survives | calls a second | p99 | CPU a call, µs | failed |\n|---|---|---|---|---:|---:|---:|---:|\n")
	var cells []*result.Cell
	for i := range run.Cells {
		if c := &run.Cells[i]; !c.Open() && len(c.Rounds) > 0 {
			cells = append(cells, c)
		}
	}
	rate := func(c *result.Cell) float64 { return c.Over(result.Round.Rate).Median }
	groups := run.Groups()
	slices.SortStableFunc(cells, func(a, c *result.Cell) int {
		return cmp.Or(cmp.Compare(slices.Index(groups, a.Group), slices.Index(groups, c.Group)), cmp.Compare(a.Workload, c.Workload),
			cmp.Compare(a.InFlight, c.InFlight), cmp.Compare(rate(c), rate(a)))
	})
	for _, c := range cells {
		row, title, survives := cellRowOf(run, c), c.Leg, ""
		if l := run.Leg(c.Leg); l != nil {
			title, survives = cmp.Or(l.Title, l.Name), classWords[l.Class]
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", strings.TrimPrefix(c.Group, "peers-"), row.Load, cellText(title), survives, row.Rate, row.P99, row.CPU, row.Failed)
	}
}

// classWords say what an accepted message survives.
var classWords = map[string]string{
	result.ClassNone: "nothing", result.ClassMemory: "the client", result.ClassProcess: "the broker's kill -9",
	result.ClassSync: "a power cut", result.ClassQuorum: "a machine",
}

// cellText keeps a text within its table cell.
func cellText(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
