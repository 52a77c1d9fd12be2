package bench

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// Print writes the report as tables for a terminal.
func (r *Report) Print(w io.Writer) {
	_, _ = fmt.Fprintf(w, "\n%s; %s %s, %s\n%d B echo; %d interleaved rounds of two %v visits a cell; client, worker, gateway and broker are processes of their own;\ngateways and proxies are loaded by a lean HTTP client, so that the cores are left to them.\n\n",
		r.Machine, r.Broker.Name, r.Broker.Version, r.Broker.Durability, r.Size, r.Rounds, r.Visit)
	r.printGoals(w)
	r.printCells(w)
	r.printBroker(w)
	if r.Soak != nil {
		r.Soak.print(w)
	}
	if n := r.Failed(); n > 0 {
		_, _ = fmt.Fprintf(w, "%d CALLS FAILED:\n", n)
		for _, c := range r.Cells {
			for i, rd := range c.Rounds {
				for _, e := range slices.Sorted(maps.Keys(rd.Errors)) {
					_, _ = fmt.Fprintf(w, "  %s round %d: %d × %s\n", c.Cell, i+1, rd.Errors[e], e)
				}
			}
		}
		return
	}
	_, _ = fmt.Fprintln(w, "Every call was answered with its own bytes: 0 lost, 0 wrong, 0 errors.")
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

func (r *Report) printGoals(w io.Writer) {
	t := newTable(w, "Goals: median of the rounds' ratios", 2, "comparison", "of", "in flight", "goal", "ratio", "min – max", "")
	for _, g := range r.Goals {
		row := table.Row{g.Title, g.What, g.Num.InFlight, g.target(), "—", "—", g.verdict()}
		if g.Measured {
			row[4], row[5] = fmt.Sprintf("%.2f", g.Ratio.Median), fmt.Sprintf("%.2f – %.2f", g.Ratio.Min, g.Ratio.Max)
		}
		t.AppendRow(row)
	}
	t.Render()
}

func (r *Report) printCells(w io.Writer) {
	t := newTable(w, "Legs: medians of the rounds; CPU in µs a call", 1,
		"leg", "in flight", "calls/s", "p50", "p99", "CPU", PartClient, PartGateway, PartWorker, PartBroker, "calls", "failed")
	for _, c := range r.Cells {
		calls, failed := 0, 0
		for _, rd := range c.Rounds {
			calls, failed = calls+rd.Calls, failed+rd.Failed
		}
		row := table.Row{
			c.Leg, c.InFlight, fmt.Sprintf("%.0f", c.median(Round.Rate)),
			micros(c.median(func(r Round) float64 { return float64(r.P50) })), micros(c.median(func(r Round) float64 { return float64(r.P99) })),
			fmt.Sprintf("%.1f", c.median(Round.CPU)),
		}
		for _, p := range parts {
			row = append(row, c.partCPU(p))
		}
		t.AppendRow(append(row, calls, failed))
	}
	t.Render()
}

func (c CellReport) median(f func(Round) float64) float64 {
	values := make([]float64, len(c.Rounds))
	for i, r := range c.Rounds {
		values[i] = f(r)
	}
	return spread(values).Median
}

func (c CellReport) partCPU(part string) string {
	if len(c.Rounds) == 0 {
		return ""
	}
	if _, has := c.Rounds[0].PartCPU[part]; !has {
		return ""
	}
	return fmt.Sprintf("%.1f", c.median(func(r Round) float64 { return per(float64(r.PartCPU[part])/1e3, r.Calls) }))
}

func micros(ns float64) string { return time.Duration(ns).Round(time.Microsecond).String() }

// printBroker shows what the broker did for a call, which no noise of the machine changes much.
func (r *Report) printBroker(w io.Writer) {
	t := newTable(w, "Broker: a call's share; batches are calls a command or pipeline", 1,
		"leg", "in flight", "commands", "bytes in", "bytes out", "reads", "XREADGROUP", "XREAD", "XACK", "publish", "settle", "connections")
	for _, c := range r.Cells {
		if len(c.Rounds) == 0 || len(c.Connections) == 0 { // a leg without a broker
			continue
		}
		var all Round
		all.Counters = map[string]int64{}
		for _, rd := range c.Rounds {
			all.Calls += rd.Calls
			all.Broker = all.Broker.add(rd.Broker)
			for k, n := range rd.Counters {
				all.Counters[k] += n
			}
		}
		var commands int64
		for _, n := range all.Broker.Commands {
			commands += n
		}
		row := table.Row{c.Leg, c.InFlight}
		for _, n := range []int64{commands, all.Broker.BytesIn, all.Broker.BytesOut, all.Broker.Reads} {
			if n == 0 { // the broker doesn't tell
				row = append(row, "")
				continue
			}
			row = append(row, trim(per(float64(n), all.Calls)))
		}
		for _, name := range []string{"xreadgroup", "xread", "xack"} {
			row = append(row, batch(int64(all.Calls), all.Broker.Commands[name]))
		}
		row = append(row, all.batches("publish"), all.batches("settle"), conns(c.Connections))
		t.AppendRow(row)
	}
	t.Render()
}

// batches is the mean of what a part counted by itself, whichever part it was.
func (r Round) batches(kind string) string {
	var items, n int64
	for k, v := range r.Counters {
		if strings.HasSuffix(k, kind+".items") {
			items += v
		}
		if strings.HasSuffix(k, kind+".batches") {
			n += v
		}
	}
	return batch(items, n)
}

func batch(items, batches int64) string {
	if batches == 0 {
		return ""
	}
	return trim(float64(items) / float64(batches))
}

func trim(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func conns(m map[string]int) string {
	var s []string
	for _, p := range parts {
		if m[p] > 0 {
			s = append(s, fmt.Sprintf("%s %d", p, m[p]))
		}
	}
	return strings.Join(s, ", ")
}

func (s *Soak) print(w io.Writer) {
	verdict := "NOT CLEAN"
	if s.Clean && s.Failed() == 0 {
		verdict = "clean"
	}
	_, _ = fmt.Fprintf(w, "%d calls once, %d in flight: %.0f calls/s, %d failed; longest stream seen %d entries; afterwards %s:\n",
		s.Calls, s.InFlight, float64(s.OK)/s.Elapsed.Seconds(), s.Failed(), s.Longest, verdict)
	t := newTable(w, "", 1, "stream", "length", "cap", "pending", "unread")
	for _, st := range s.Streams {
		t.AppendRow(table.Row{st.Key, st.Length, s.Cap, st.Pending, st.Unread})
	}
	t.Render()
	for _, e := range slices.Sorted(maps.Keys(s.Errors)) {
		_, _ = fmt.Fprintf(w, "  %d × %s\n", s.Errors[e], e)
	}
}
