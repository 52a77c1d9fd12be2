package bench

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/streamerson/streamerson/bench/result"
)

// printBroker shows what the broker did for a call, which no noise of the machine changes much.
func printBroker(w io.Writer, r *result.Run, group string) {
	t := newTable(w, group+", broker: a call's share; batches are calls a command or pipeline", 1,
		"cell", "commands", "bytes in", "bytes out", "reads", "XREADGROUP", "XREAD", "XACK", "publish", "settle", "lag", "connections")
	for _, c := range r.Cells {
		if c.Group != group || len(c.Rounds) == 0 || len(c.Connections) == 0 { // a leg without a broker
			continue
		}
		var all BrokerUse
		calls, lag := 0, int64(-1)
		for _, rd := range c.Rounds {
			calls += rd.Calls
			all = all.add(BrokerUse{BrokerUse: rd.Broker})
			lag = max(lag, rd.Lag)
		}
		var commands int64
		for _, n := range all.Commands {
			commands += n
		}
		row := table.Row{c.Name()}
		for _, n := range []int64{commands, all.BytesIn, all.BytesOut, all.Reads} {
			row = append(row, mean(n, int64(calls)))
		}
		for _, name := range []string{"xreadgroup", "xread", "xack"} {
			row = append(row, mean(int64(calls), all.Commands[name]))
		}
		for _, kind := range []string{"publish", "settle"} {
			row = append(row, nonzero(c.Over(func(r result.Round) float64 { return r.Batch(kind) }).Median))
		}
		seen := ""
		if lag >= 0 {
			seen = fmt.Sprint(lag)
		}
		t.AppendRow(append(row, seen, result.PartCounts(c.Connections)))
	}
	if t.Length() > 0 {
		t.Render()
	}
}

// printTimes shows where the time of a call went, in the legs that tell.
func printTimes(w io.Writer, r *result.Run, group string) {
	t := newTable(w, group+", a call's time: medians of a sample; the parts may overlap", 1,
		"cell", "HTTP and gateway", "until published", "queue", "handler", "reply", "p50 of the whole")
	for _, c := range r.Cells {
		if c.Group != group || len(c.Rounds) == 0 || c.Rounds[0].Split == nil {
			continue
		}
		part := func(of func(result.Split) time.Duration) string {
			return micros(c.Over(func(r result.Round) float64 {
				if r.Split == nil {
					return 0
				}
				return float64(of(*r.Split))
			}).Median)
		}
		t.AppendRow(table.Row{
			c.Name(), part(func(s result.Split) time.Duration { return s.Outside }), part(func(s result.Split) time.Duration { return s.Wait }),
			part(func(s result.Split) time.Duration { return s.Queue }), part(func(s result.Split) time.Duration { return s.Handler }),
			part(func(s result.Split) time.Duration { return s.Reply }),
			micros(c.Latency(func(q result.Quantiles) time.Duration { return q.P50 }).Median),
		})
	}
	if t.Length() > 0 {
		t.Render()
	}
}

// printClasses shows the latencies of each kind of call that a workload mixes.
func printClasses(w io.Writer, r *result.Run) {
	t := newTable(w, "Kinds of calls: medians of the rounds", 2, "cell", "kind", "calls", "p50", "p90", "p99", "max")
	for _, c := range r.Cells {
		kinds := map[string]int{}
		for _, rd := range c.Rounds {
			for name, k := range rd.Classes {
				kinds[name] += k.OK
			}
		}
		for _, name := range slices.Sorted(maps.Keys(kinds)) {
			at := func(of func(result.Quantiles) time.Duration) string {
				return micros(c.Over(func(r result.Round) float64 { return float64(of(r.Classes[name].Latency)) }).Median)
			}
			t.AppendRow(table.Row{
				c.Name(), name, kinds[name], at(func(q result.Quantiles) time.Duration { return q.P50 }), at(func(q result.Quantiles) time.Duration { return q.P90 }),
				at(func(q result.Quantiles) time.Duration { return q.P99 }), at(func(q result.Quantiles) time.Duration { return q.Max }),
			})
		}
	}
	if t.Length() > 0 {
		t.Render()
	}
}

func printSoak(w io.Writer, s result.Soak) {
	verdict := "NOT CLEAN"
	if s.Clean && s.OK == s.Calls {
		verdict = "clean"
	}
	_, _ = fmt.Fprintf(w, "%s: %d calls, %.0f calls/s, %d failed; longest stream seen %d entries; afterwards %s:\n", s.Leg, s.Calls, s.Rate, s.Calls-s.OK, s.Longest, verdict)
	t := newTable(w, "", 1, "stream", "length", "cap", "pending", "unread")
	for _, st := range s.Streams {
		t.AppendRow(table.Row{st.Key, st.Length, s.Cap, st.Pending, st.Unread})
	}
	t.Render()
	m := newTable(w, "Memory in MiB along the run: live heap, resident", 0, "calls", "client heap", "worker heap", "client resident", "worker resident")
	for _, at := range s.Memory {
		mib := func(n uint64) string { return trim(float64(n) / (1 << 20)) }
		m.AppendRow(table.Row{at.Calls, mib(at.Heap[result.PartClient]), mib(at.Heap[result.PartWorker]), mib(at.RSS[result.PartClient]), mib(at.RSS[result.PartWorker])})
	}
	m.Render()
}

// mean is empty where there is nothing, because the broker doesn't tell.
func mean(total, n int64) string {
	if n == 0 {
		return ""
	}
	return nonzero(float64(total) / float64(n))
}

func nonzero(v float64) string {
	if v == 0 {
		return ""
	}
	return trim(v)
}

func trim(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
