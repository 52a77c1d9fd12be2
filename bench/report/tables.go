package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/streamerson/streamerson/bench/result"
)

type goalRow struct {
	Title, What, Target, Ratio, Range, Verdict, Class, Note string
	// Cells are those compared, as "num ÷ den".
	Cells string
}

func goalRows(run *result.Run) (rows []goalRow) {
	for _, g := range run.Goals {
		row := goalRow{Title: g.Title, What: g.What, Target: g.Target(), Ratio: "—", Range: "—", Verdict: g.Verdict, Note: g.Note, Cells: g.Num}
		if g.Den != "" {
			row.Cells += " ÷ " + g.Den
		}
		if g.Verdict != result.NotMeasured {
			row.Ratio = digits(g.Ratio.Median)
			row.Range = digits(g.Ratio.Min) + " – " + digits(g.Ratio.Max)
		}
		if g.Classes != "" {
			row.Note = strings.TrimSpace("durability differs: " + g.Classes + ". " + row.Note)
		}
		switch g.Verdict {
		case result.Met:
			row.Class = "met"
		case result.Unmet:
			row.Class = "unmet"
		case result.NotMeasured:
			row.Class = "none"
		default:
			row.Verdict = "for comparison"
		}
		rows = append(rows, row)
	}
	return rows
}

type cellRow struct {
	Leg, Load, Class                                      string
	Rate, Range, P50, P90, P99, P999, Max                 string
	CPU                                                   string
	Parts                                                 []string
	Allocs, Batches, Commands, Bytes, Connections, Waited string
	OK, Failed, Dropped                                   string
	// Bad is set when calls failed; Missing says why nothing was measured.
	Bad     bool
	Missing string
}

// cellRows are a group's cells, and after them its legs that could not be measured at all.
func cellRows(run *result.Run, group string) (rows []cellRow) {
	for i := range run.Cells {
		if c := &run.Cells[i]; c.Group == group {
			rows = append(rows, cellRowOf(run, c))
		}
	}
	return rows
}

func cellRowOf(run *result.Run, c *result.Cell) cellRow {
	_, load := loadKey(c)
	row := cellRow{Leg: legName(run, c.Leg), Load: load}
	leg := run.Leg(c.Leg)
	if leg != nil {
		row.Class = leg.Class
	}
	if len(c.Rounds) == 0 {
		row.Missing = "not measured"
		if why := c.Failed; why != "" {
			row.Missing += ": " + why
		} else if leg != nil && leg.Failed != "" {
			row.Missing += ": " + leg.Failed
		}
		return row
	}
	rate := c.Over(result.Round.Rate)
	row.Rate, row.Range = count(rate.Median), number(rate.Min)+" – "+number(rate.Max)
	quantile := func(of func(result.Quantiles) time.Duration) string {
		v := c.Latency(of).Median
		if v == 0 {
			return "—"
		}
		return latency(time.Duration(v))
	}
	row.P50, row.P90 = quantile(func(q result.Quantiles) time.Duration { return q.P50 }), quantile(func(q result.Quantiles) time.Duration { return q.P90 })
	row.P99, row.P999 = quantile(func(q result.Quantiles) time.Duration { return q.P99 }), quantile(func(q result.Quantiles) time.Duration { return q.P999 })
	row.Max = latency(time.Duration(c.Latency(func(q result.Quantiles) time.Duration { return q.Max }).Max))
	row.CPU = figure(c.Over(result.Round.CPUPerCall).Median)
	for _, p := range result.Parts {
		us := "—"
		if v, has := c.PartCPU(p); has {
			us = digits(v.Median)
		}
		row.Parts = append(row.Parts, us)
	}
	median := func(of func(result.Round) float64) string { return figure(c.Over(of).Median) }
	row.Allocs, row.Commands = median(result.Round.AllocsPerCall), median(result.Round.CommandsPerCall)
	row.Batches = median(func(r result.Round) float64 { return r.Batch("publish") }) + " / " + median(func(r result.Round) float64 { return r.Batch("settle") })
	row.Bytes = median(result.Round.BrokerBytesPerCall)
	row.Connections = cmp.Or(result.PartCounts(c.Connections), "—")
	if lag := c.Over(func(r result.Round) float64 { return float64(r.Lag) }).Max; lag >= 0 {
		row.Waited = count(lag)
	} else {
		row.Waited = "—"
	}
	ok, failed, dropped := 0, 0, 0
	for _, r := range c.Rounds {
		ok, failed, dropped = ok+r.OK, failed+r.Failed(), dropped+r.Dropped
	}
	row.OK, row.Failed, row.Dropped, row.Bad = count(float64(ok)), count(float64(failed)), count(float64(dropped)), failed > 0
	return row
}

// figure is "—" for what was not told.
func figure(v float64) string {
	if v == 0 {
		return "—"
	}
	return digits(v)
}

type legRow struct {
	Name, Title, Kind, Broker, Class, Durability, Tuned, Failed string
}

func legRows(run *result.Run) (rows []legRow) {
	for _, l := range run.Legs {
		row := legRow{l.Name, l.Title, "streamerson", l.Broker, l.Class, l.Durability, l.Tuned, l.Failed}
		switch {
		case l.Rival:
			row.Kind = "rival"
		case l.Control:
			row.Kind = "control"
		}
		rows = append(rows, row)
	}
	return rows
}

type soakRow struct {
	Leg, Calls, Failed, Rate, Longest, Cap, State string
	Streams                                       []result.Stream
	Memory                                        []memoryRow
}

type memoryRow struct{ Calls, Heap, RSS string }

func soakRows(run *result.Run) (rows []soakRow) {
	for _, s := range run.Soaks {
		row := soakRow{
			Leg: s.Leg, Calls: count(float64(s.Calls)), Failed: count(float64(s.Calls - s.OK)), Rate: count(s.Rate),
			Longest: count(float64(s.Longest)), Cap: count(float64(s.Cap)), State: "NOT CLEAN", Streams: s.Streams,
		}
		if s.Clean {
			row.State = "clean"
		}
		for _, m := range s.Memory {
			row.Memory = append(row.Memory, memoryRow{count(float64(m.Calls)), sizes(m.Heap), sizes(m.RSS)})
		}
		rows = append(rows, row)
	}
	return rows
}

func sizes(m map[string]uint64) string {
	var out []string
	for _, p := range result.Parts {
		if v, ok := m[p]; ok {
			out = append(out, p+" "+size(v))
		}
	}
	if len(out) == 0 {
		return "—"
	}
	return strings.Join(out, ", ")
}

type failure struct{ Where, What string }

// failures are all errors of all rounds, and the legs and cells that could not be measured.
func failures(run *result.Run) (out []failure) {
	for _, l := range run.Legs {
		if l.Failed != "" {
			out = append(out, failure{l.Name, "not measured: " + l.Failed})
		}
	}
	for i := range run.Cells {
		c := &run.Cells[i]
		if c.Failed != "" {
			out = append(out, failure{c.Key(), "not measured: " + c.Failed})
		}
		for n, r := range c.Rounds {
			where := fmt.Sprintf("%s, round %d", c.Key(), n+1)
			if r.Wrong > 0 {
				out = append(out, failure{where, fmt.Sprintf("%d × a reply with wrong bytes", r.Wrong)})
			}
			for _, text := range slices.Sorted(maps.Keys(r.Errors)) {
				out = append(out, failure{where, fmt.Sprintf("%d × %s", r.Errors[text], text)})
			}
		}
	}
	return out
}
