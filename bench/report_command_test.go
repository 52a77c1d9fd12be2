package bench

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/streamerson/streamerson/bench/report"
	"github.com/streamerson/streamerson/bench/result"
)

// reported runs `bench` with arguments and returns what it printed.
func reported(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := Command(Wiring{})
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestCompareAndReportTakeFiles(t *testing.T) {
	dir := t.TempDir()
	file, other, bad := filepath.Join(dir, "a.json"), filepath.Join(dir, "other.json"), filepath.Join(dir, "bad.json")
	run := &result.Run{Cells: []result.Cell{{Group: "g", Leg: "a", InFlight: 1, Rounds: []result.Round{{Calls: 1, OK: 1, Elapsed: 1e6}}}}}
	if err := run.Save(file); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(other, []byte(`{"schema": 2}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bad, []byte(`nonsense`), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := reported(t, "compare", file, file); err != nil || !strings.Contains(out, "g/a@1") {
		t.Errorf("%v: %s", err, out)
	}
	for name, args := range map[string][]string{
		"field schema is 2":        {"compare", file, other},
		"not a benchmark's result": {"report", bad, "--html", filepath.Join(dir, "x.html")},
		"--alpha":                  {"compare", file, file, "--alpha", "1"},
		"--html FILE":              {"report", file},
		"no such file":             {"compare", file, filepath.Join(dir, "none.json")},
	} {
		if _, err := reported(t, args...); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("bench %v: %v, want %q", args, err, name)
		}
	}
	html := filepath.Join(dir, "a.html")
	if out, err := reported(t, "report", file, "--html", html, "--png", filepath.Join(dir, "png")); err != nil || !strings.Contains(out, html) {
		t.Errorf("%v: %s", err, out)
	}
	if text, err := os.ReadFile(html); err != nil || !strings.HasPrefix(string(text), "<!DOCTYPE html>") {
		t.Errorf("the report begins with %.40q, %v", text, err)
	}
}

// docs/benchmarks.md shows the runs that are committed beside it.
func TestBenchmarksPageShowsTheCommittedRuns(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "benchmarks.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"all.json", "peers.json"} {
		run, err := result.Load(filepath.Join("results", name))
		if err != nil {
			t.Fatal(err)
		}
		text, err := report.Into(string(page), name, run)
		if err != nil {
			t.Fatal(err)
		}
		if text != string(page) {
			t.Errorf("the figures of %s are others: run make docs-benchmarks", name)
		}
	}
}
