package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/streamerson/streamerson/bench/result"
)

// Print writes a run as tables for a terminal.
func Print(w io.Writer, r *result.Run) {
	m := r.Meta.Machine
	_, _ = fmt.Fprintf(w, "\n%d × %s, %s, Linux kernel %s; %s\n", m.Cores, m.CPU, m.OS, m.Kernel, versions(r))
	_, _ = fmt.Fprintf(w, "%s rounds of two visits of %s a cell, forth and back; seed %d. Client, worker, gateway and broker are processes of their own;\ngateways and proxies are loaded by a lean HTTP client, so that the cores are left to them.\n\n",
		r.Meta.Config["rounds"], r.Meta.Config["visit"], r.Meta.Seed)
	for _, g := range r.Groups() {
		printCells(w, r, g)
		printBroker(w, r, g)
		printTimes(w, r, g)
	}
	printClasses(w, r)
	for _, s := range r.Soaks {
		printSoak(w, s)
	}
	printLegs(w, r)
	PrintGoals(w, r)
	printFailures(w, r)
}

func versions(r *result.Run) string {
	var out []string
	for name, v := range r.Meta.Versions {
		out = append(out, name+" "+v)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func newTable(w io.Writer, title string, leftColumns int, head ...any) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	if title != "" {
		t.SetTitle(title)
	}
	t.AppendHeader(head)
	cfg := make([]table.ColumnConfig, 0, len(head))
	for i := leftColumns; i < len(head); i++ {
		cfg = append(cfg, table.ColumnConfig{Number: i + 1, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(cfg)
	return t
}

// PrintGoals writes the goals with their verdicts.
func PrintGoals(w io.Writer, r *result.Run) {
	if len(r.Goals) == 0 {
		return
	}
	t := newTable(w, "Goals: median of the rounds' ratios", 3, "comparison", "of", "cells", "goal", "ratio", "min – max", "")
	met, unmet, open := 0, 0, 0
	for _, g := range r.Goals {
		row := table.Row{g.Title, g.What, cellsOf(g), g.Target(), "—", "—", g.Verdict}
		if g.Verdict != result.NotMeasured {
			row[4], row[5] = fmt.Sprintf("%.2f", g.Ratio.Median), fmt.Sprintf("%.2f – %.2f", g.Ratio.Min, g.Ratio.Max)
		}
		switch g.Verdict {
		case result.Met:
			met++
		case result.Unmet:
			unmet++
		case result.NotMeasured:
			open++
		}
		t.AppendRow(row)
	}
	t.Render()
	_, _ = fmt.Fprintf(w, "%d met, %d unmet, %d not measured. ≠ marks legs of different durability classes.\n", met, unmet, open)
}

func cellsOf(g result.Goal) string {
	_, num, _ := strings.Cut(g.Num, "/")
	if g.Den == "" {
		return num
	}
	_, den, _ := strings.Cut(g.Den, "/")
	sign := " ÷ "
	if g.Classes != "" {
		sign = " ÷≠ "
	}
	return num + sign + den
}

func printCells(w io.Writer, r *result.Run, group string) {
	t := newTable(w, group+": medians of the rounds; latency of open loops (~) from the intended time; CPU in µs a call", 2,
		"cell", "class", "calls/s", "p50", "p99", "p99.9", "max", "CPU", result.PartClient, result.PartGateway, result.PartWorker, result.PartBroker, "allocs", "calls", "dropped", "failed")
	for _, c := range r.Cells {
		if c.Group != group {
			continue
		}
		class := ""
		if l := r.Leg(c.Leg); l != nil {
			class = l.Class
		}
		if len(c.Rounds) == 0 {
			t.AppendRow(table.Row{c.Name(), class, "failed"})
			continue
		}
		calls, dropped, failed := 0, 0, 0
		for _, rd := range c.Rounds {
			calls, dropped, failed = calls+rd.Calls, dropped+rd.Dropped, failed+rd.Failed()
		}
		latency := func(of func(result.Quantiles) time.Duration) string {
			return micros(c.Latency(of).Median)
		}
		row := table.Row{
			c.Name(), class, fmt.Sprintf("%.0f", c.Over(result.Round.Rate).Median),
			latency(func(q result.Quantiles) time.Duration { return q.P50 }), latency(func(q result.Quantiles) time.Duration { return q.P99 }),
			latency(func(q result.Quantiles) time.Duration { return q.P999 }), latency(func(q result.Quantiles) time.Duration { return q.Max }),
			fmt.Sprintf("%.1f", c.Over(result.Round.CPUPerCall).Median),
		}
		for _, p := range result.Parts {
			us := ""
			if v, has := c.PartCPU(p); has {
				us = fmt.Sprintf("%.1f", v.Median)
			}
			row = append(row, us)
		}
		t.AppendRow(append(row, trim(c.Over(result.Round.AllocsPerCall).Median), calls, dropped, failed))
	}
	t.Render()
}

func micros(ns float64) string { return time.Duration(ns).Round(time.Microsecond).String() }

func printLegs(w io.Writer, r *result.Run) {
	t := newTable(w, "Legs: rows are compared within one durability class", 5, "leg", "what", "class", "durability", "tuned")
	for _, l := range r.Legs {
		what := l.Title
		if l.Failed != "" {
			what += " — FAILED: " + l.Failed
		}
		t.AppendRow(table.Row{l.Name, what, l.Class, l.Durability, l.Tuned})
	}
	t.Render()
}

func printFailures(w io.Writer, r *result.Run) {
	n := r.Failed()
	if n == 0 {
		_, _ = fmt.Fprintln(w, "Every call that was made was answered with its own bytes: 0 lost, 0 wrong, 0 errors.")
		return
	}
	_, _ = fmt.Fprintf(w, "%d CALLS FAILED:\n", n)
	for _, c := range r.Cells {
		for i, rd := range c.Rounds {
			for _, e := range errorsOf(rd) {
				_, _ = fmt.Fprintf(w, "  %s round %d: %s\n", c.Key(), i+1, e)
			}
		}
	}
}
