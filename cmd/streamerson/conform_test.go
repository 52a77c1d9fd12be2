package main

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/streamerson/streamerson/conformance"
	"github.com/streamerson/streamerson/conformance/report"
	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/internal/brokers/brokerstest"
)

func readReport(t *testing.T, file string) *report.Report {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := report.ReadJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// One scenario that a driver alone passes, one that starts workers as processes, and one that a broker at an address can't
// show.
func TestConform(t *testing.T) {
	dir := t.TempDir()
	jsonFile, junitFile := filepath.Join(dir, "report.json"), filepath.Join(dir, "report.xml")
	broker := brokerstest.Redis(t, brokers.RedisConfig{Own: true})
	r := streamerson(t, "conform", "--transport", broker.URL, "--only", "roundtrip,worker-killed,restart", "--json", jsonFile, "--junit", junitFile, "--slow", "2", "--seed", "7")
	if r.code != exitOK {
		t.Fatalf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	for _, line := range []string{"passed       roundtrip ", "passed       worker-killed ", "not run      restart "} {
		if !strings.Contains(r.stderr, line) {
			t.Errorf("standard error has no line %q:\n%s", line, r.stderr)
		}
	}
	if !strings.Contains(r.stdout, "2 passed, 1 not run, 0 failed") || !strings.Contains(r.stdout, "seed 7") {
		t.Errorf("the table is\n%s", r.stdout)
	}
	rep := readReport(t, jsonFile)
	if rep.Broker != "redis" || rep.Seed != 7 || rep.Slow != 2 || len(rep.Entries) != 3 || rep.Capabilities.Name != "redis" {
		t.Errorf("the JSON report is %+v", rep)
	}
	for _, e := range rep.Entries {
		if (e.Outcome == conformance.NotRun) != (e.Scenario == "restart") || (e.Reason != "") != (e.Scenario == "restart") {
			t.Errorf("%+v", e)
		}
	}
	text, err := os.ReadFile(junitFile)
	if err != nil {
		t.Fatal(err)
	}
	var suites struct {
		Tests   int `xml:"tests,attr"`
		Skipped int `xml:"skipped,attr"`
	}
	if err := xml.Unmarshal(text, &suites); err != nil || suites.Tests != 3 || suites.Skipped != 1 {
		t.Errorf("JUnit: %+v, %v", suites, err)
	}
	if strings.Contains(string(text), broker.Addr) {
		t.Errorf("the JUnit file has the broker's address, and could have its password")
	}
}

func TestConformStartsABroker(t *testing.T) {
	r := streamerson(t, "conform", "--broker", "nats", "--only", "roundtrip,restart", "--slow", "2")
	if r.code != exitOK || !strings.Contains(r.stdout, "2 passed, 0 failed") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}

func TestConformList(t *testing.T) {
	r := streamerson(t, "conform", "--list", "--area", "driver")
	if r.code != exitOK || !strings.Contains(r.stdout, "lease-expiry") || strings.Contains(r.stdout, "calls-1000") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}

// An interruption ends the scenario that runs, and the report has what was done.
func TestConformInterrupted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.json")
	p := start(t, nil, "conform", "--broker", "mem", "--only", "roundtrip,live-consumers,browse", "--slow", "4", "--json", file)
	p.wrote("passed       roundtrip") // the next one takes nine seconds
	p.signal(syscall.SIGINT)
	if code := p.exit(); code != exitSignal {
		t.Errorf("exit code %d", code)
	}
	got := map[string]conformance.Outcome{}
	for _, e := range readReport(t, file).Entries {
		got[e.Scenario] = e.Outcome
	}
	if got["roundtrip"] != conformance.Passed || got["live-consumers"] != report.Interrupted || got["browse"] != conformance.NotRun || len(got) != 3 {
		t.Errorf("outcomes: %v", got)
	}
}

func TestConformBadInput(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--broker", "mem", "--only", "rountrip"}, `--only: there is no scenario "rountrip"; did you mean roundtrip?`},
		{[]string{"--broker", "mem", "--only", "nothing-like-it"}, `--only: there is no scenario "nothing-like-it"; streamerson conform --list shows them`},
		{[]string{"--broker", "mem", "--area", "drvier"}, `--area: there is no area "drvier"; did you mean driver?`},
		{[]string{"--broker", "mem", "--area", "rpc", "--only", "lane"}, "no scenario is in --only and in --area: leave one of them out"},
		{[]string{"--broker", "mem", "--slow", "0"}, "--slow 0 must be more than 0 and at most 100, such as 2"},
		{[]string{"--broker", "mem", "--slow", "NaN"}, "--slow NaN must be more than 0 and at most 100, such as 2"},
		{[]string{"--broker", "redsi"}, `--broker: there is no broker "redsi"; did you mean redis?`},
		{[]string{"--broker", "mem", "--transport", "mem://x"}, "--broker starts a broker and --transport names one that runs: give one of them"},
		{[]string{"--broker", "mem", "--junit", "no/such/folder/x.xml"}, "--junit: open no/such/folder/x.xml: no such file or directory"},
		{nil, "there is nothing to certify: start a broker with --broker kafka|mem|nats|nats+core|redis, or name one that runs with --transport URL"},
	} {
		r := streamerson(t, append([]string{"conform"}, tt.args...)...)
		if want := "streamerson: " + tt.want + "\n"; r.code != exitUsage || r.stderr != want || r.stdout != "" {
			t.Errorf("conform %v: exit code %d, %q on standard error, want %d and %q", tt.args, r.code, r.stderr, exitUsage, want)
		}
	}
	file := filepath.Join(t.TempDir(), "report.json")
	r := streamerson(t, "conform", "--transport", "redis://:hunter2@127.0.0.1:1", "--json", file)
	if r.code != exitBroker || !strings.Contains(r.stderr, "refused") || strings.Contains(r.stderr, "hunter2") {
		t.Errorf("no broker there: exit code %d, %q", r.code, r.stderr)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("an empty report was left behind")
	}
}
