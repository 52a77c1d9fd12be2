package report

import (
	"bytes"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/streamerson/streamerson/bench/result"
)

// fixture is a run as the benchmark saves it, of made-up figures: five rounds, a rival that failed calls and one that could
// not be started, a curve, open loops with dropped arrivals, and a name that has to be escaped.
func fixture(t *testing.T) *result.Run {
	t.Helper()
	run, err := result.Load(filepath.Join("testdata", "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func page1(t *testing.T, run *result.Run) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteHTML(&b, run); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// elements parses the page and calls see for each element.
func elements(t *testing.T, text string, see func(*html.Node)) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			see(n)
		}
	}
}

func words(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// rows of the tables of one class, as their cells' texts.
func rows(t *testing.T, page, class string) (out []string) {
	t.Helper()
	elements(t, page, func(n *html.Node) {
		if n.Data != "table" || attr(n, "class") != class {
			return
		}
		for tr := range n.Descendants() {
			if tr.Data != "tr" {
				continue
			}
			var cells []string
			for td := range tr.ChildNodes() {
				if td.Data == "td" {
					cells = append(cells, words(td))
				}
			}
			if len(cells) > 0 {
				out = append(out, strings.Join(cells, " | "))
			}
		}
	})
	return out
}

func TestThePageHasAllTables(t *testing.T) {
	run := fixture(t)
	p := page1(t, run)
	golden, err := os.ReadFile(filepath.Join("testdata", "tables.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, class := range []string{"goals", "cells", "costs", "legs", "failures"} {
		b.WriteString("== " + class + "\n" + strings.Join(rows(t, p, class), "\n") + "\n")
	}
	if got := b.String(); got != string(golden) {
		file := filepath.Join(os.TempDir(), "streamerson-report-tables.txt")
		_ = os.WriteFile(file, []byte(got), 0o600)
		t.Errorf("the tables are not those of testdata/tables.txt; look at the difference to %s, and copy it if it is right", file)
	}
}

// TestNothingIsHidden: what failed, or was not measured, is on the page as such.
func TestNothingIsHidden(t *testing.T) {
	p := page1(t, fixture(t))
	for _, want := range []string{"ModuleNotFoundError", "timeout &lt;10 s&gt;", "3 × a reply with wrong bytes", "40 FAILED", "120 arrivals", "not measured", "UNMET", "&lt;pool&gt;"} {
		if !strings.Contains(p, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for i := range fixture(t).Cells {
		if c := fixture(t).Cells[i]; !strings.Contains(p, c.Leg) {
			t.Errorf("the page lacks the leg %s", c.Leg)
		}
	}
}

// TestThePageStandsAlone: a browser that opens it asks nobody for anything, and runs nothing.
func TestThePageStandsAlone(t *testing.T) {
	p := page1(t, fixture(t))
	ids := map[string]int{}
	elements(t, p, func(n *html.Node) {
		switch n.Data {
		case "script", "link", "img", "iframe", "object", "embed", "image", "use":
			t.Errorf("the page has <%s>", n.Data)
		}
		for _, a := range n.Attr {
			if a.Key == "id" {
				ids[a.Val]++
			}
			fetched := a.Key == "src" || a.Key == "href" || a.Key == "srcset" || a.Key == "data" || strings.Contains(a.Val, "url(")
			if fetched && !strings.HasPrefix(a.Val, "#") {
				t.Errorf("<%s %s=%q> would be fetched", n.Data, a.Key, a.Val)
			}
		}
		if n.Data == "style" && (strings.Contains(words(n), "@import") || strings.Contains(words(n), "url(")) {
			t.Error("the style sheet would fetch another file")
		}
	})
	for id, n := range ids {
		if n > 1 {
			t.Errorf("%d elements are called %q", n, id)
		}
	}
}

// TestPlots: each chart is drawn once, has its legend's and its axes' words, and keeps to the page's colours.
func TestPlots(t *testing.T) {
	run := fixture(t)
	charts, err := Charts(run)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range charts {
		names = append(names, c.Name)
	}
	want := []string{
		"redis-latency-one-call-in-flight", "redis-latency-256-calls-in-flight", "redis-cpu-one-call-in-flight", "redis-cpu-256-calls-in-flight",
		"redis-time-one-call-in-flight", "redis-time-256-calls-in-flight", "curve-curve-p50-echo-128", "curve-curve-p99-echo-128",
		"curve-latency-256-calls-in-flight", "curve-cpu-256-calls-in-flight", "curve-time-256-calls-in-flight",
		"open-latency-20p-of-saturation", "open-latency-80p-of-saturation", "open-cpu-20p-of-saturation", "open-cpu-80p-of-saturation",
		"open-time-20p-of-saturation", "open-time-80p-of-saturation",
	}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		t.Errorf("charts %v\nwant %v", names, want)
	}
	drawn := map[string]string{}
	elements(t, page1(t, run), func(n *html.Node) {
		if n.Data == "svg" {
			drawn[strings.TrimPrefix(attr(n, "aria-labelledby"), "t-")] = words(n)
			for d := range n.Descendants() {
				if s := attr(d, "style"); strings.Contains(s, "#") && !strings.Contains(s, "#000000") {
					t.Errorf("a colour that no page changes: %s", s)
				}
			}
		}
	})
	if len(drawn) != len(charts) {
		t.Errorf("%d plots on the page, want %d", len(drawn), len(charts))
	}
	for name, words := range map[string][]string{
		"redis-latency-256-calls-in-flight": {"http", "redis-rpc", "nestjs-redis (rival)", "percentile of calls", "99.9", "ms"},
		"redis-cpu-256-calls-in-flight":     {"client", "gateway", "worker", "broker", "µs of CPU"},
		"redis-time-256-calls-in-flight":    {"gateway wait", "queue", "handler", "reply"},
		"curve-curve-p99-echo-128":          {"1024", "redis-gateway", "calls answered a second", "p99 latency"},
	} {
		for _, w := range words {
			if !strings.Contains(drawn[name], w) {
				t.Errorf("%s lacks %q: %s", name, w, drawn[name])
			}
		}
	}
}

func TestPNG(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "docs", "plots")
	files, err := WritePNG(dir, fixture(t))
	if err != nil || len(files) != 17 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files[:2] {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		im, err := png.Decode(f)
		_ = f.Close()
		if err != nil || im.Bounds().Dx() < 800 || im.Bounds().Dy() < 200 {
			t.Errorf("%s: %v, %v", file, im.Bounds(), err)
		}
	}
}

// TestSparseRuns: figures that are not there are no reason to fail, nor to draw nonsense.
func TestSparseRuns(t *testing.T) {
	ms := time.Millisecond
	same := result.Round{Calls: 1, OK: 1, Elapsed: ms, Latency: result.Quantiles{P50: ms, P90: ms, P99: ms, P999: ms, Max: ms}, Lag: -1}
	round := result.Round{Calls: 1, Errors: map[string]int{"refused": 1}, Lag: -1}
	for name, run := range map[string]*result.Run{
		"empty":             {Schema: result.Schema},
		"no round":          {Legs: []result.Leg{{Name: "a", Failed: "gone"}}, Cells: []result.Cell{{Group: "g", Leg: "a", InFlight: 1}}},
		"all failed":        {Cells: []result.Cell{{Group: "g", Leg: "unknown", InFlight: 1, Rounds: []result.Round{round}}}},
		"all the same":      {Cells: []result.Cell{{Group: "g", Leg: "a", InFlight: 1, Rounds: []result.Round{same}}, {Group: "g", Leg: "a", InFlight: 4, Rounds: []result.Round{same}}, {Group: "g", Leg: "a", InFlight: 16, Rounds: []result.Round{same}}}},
		"curve of failures": {Cells: []result.Cell{{Group: "g", Leg: "a", InFlight: 1, Rounds: []result.Round{round}}, {Group: "g", Leg: "a", InFlight: 4, Rounds: []result.Round{round}}, {Group: "g", Leg: "a", InFlight: 16, Rounds: []result.Round{round}}}},
	} {
		t.Run(name, func(t *testing.T) {
			p := page1(t, run)
			if strings.Contains(p, "NaN") || strings.Contains(p, "Inf") {
				t.Error("the page shows what is no number")
			}
			if _, err := WritePNG(t.TempDir(), run); err != nil {
				t.Error(err)
			}
		})
	}
	bad := fixture(t)
	bad.Cells[0].Rounds[0].HDR = "nonsense"
	if err := WriteHTML(&bytes.Buffer{}, bad); err == nil || !strings.Contains(err.Error(), bad.Cells[0].Key()) {
		t.Errorf("a histogram that can't be read: %v; want an error that names the cell", err)
	}
}

func TestNumbers(t *testing.T) {
	for got, want := range map[string]string{
		number(84_400): "84.4k", number(1_250_000): "1.25M", number(12): "12", number(0.31): "0.31", count(1_234_567): "1\u202f234\u202f567", count(12): "12",
		latency(0): "0", latency(217 * time.Microsecond): "217 µs", latency(1_260 * time.Microsecond): "1.26 ms", latency(90 * time.Second): "90 s",
		size(24 << 30): "24 GiB", size(1536): "1.5 KiB", size(12): "12 B", ratio(math.NaN()): "—",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestFiguresGoIntoAMarkedText(t *testing.T) {
	run, err := result.Load(filepath.Join("testdata", "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	const text = "# Title\n<!-- run.json: goals -->\nold\n<!-- end -->\nbetween\n<!-- other.json: goals -->\nkept\n<!-- end -->\n<!-- run.json: cells -->\n<!-- end -->\n" +
		"<!-- run.json: unmet -->\n<!-- end -->\n<!-- run.json: run -->\n<!-- end -->\nlast"
	once, err := Into(text, "run.json", run)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(once, "old") || !strings.Contains(once, "\nbetween\n") || !strings.Contains(once, "\nkept\n") || !strings.HasSuffix(once, "\nlast") {
		t.Errorf("got %s", once)
	}
	for _, g := range run.Goals {
		if !strings.Contains(once, "| "+g.Title+" |") {
			t.Errorf("no goal %q in %s", g.Title, once)
		}
	}
	if twice, err := Into(once, "run.json", run); err != nil || twice != once {
		t.Errorf("a second time it changes, %v:\n%s", err, twice)
	}
	for bad, want := range map[string]string{
		"nothing":                              "no line",
		"<!-- run.json: goals -->\n":           "line 1",
		"\n<!-- run.json: x -->\n<!-- end -->": `line 2: there is no block "x"`,
	} {
		if out, err := Into(bad, "run.json", run); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %q", bad, err, out)
		}
	}
}
