package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/streamerson/streamerson/conformance/report"
)

// docs/transports.md says what the drivers declare. Versions and scenarios of the page are those of the run that made it.
func TestTransportsPageAgreesWithTheDrivers(t *testing.T) {
	page, err := os.ReadFile("../../docs/transports.md")
	if err != nil {
		t.Fatal(err)
	}
	var columns []report.Column
	for _, name := range pageColumns(t, string(page)) {
		file := filepath.Join(t.TempDir(), "report.json")
		r := invocation{env: []string{"STREAMERSON_BROKER_FROM=local"}}.streamerson(t, "conform", "--broker", name, "--only", "capabilities", "--slow", "4", "--json", file)
		if r.code != exitOK {
			t.Fatalf("%s: exit code %d: %s%s", name, r.code, r.stdout, r.stderr)
		}
		columns = append(columns, report.Column{Name: name, Capabilities: readReport(t, file).Capabilities})
	}
	var want bytes.Buffer
	if err := report.WriteCapabilities(&want, columns); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(page, want.Bytes()) {
		t.Errorf("docs/transports.md does not agree with what the drivers declare; run make docs-transports. They declare:\n%s", &want)
	}
}

// pageColumns reads the transports' names from the head of the page's first table.
func pageColumns(t *testing.T, page string) []string {
	t.Helper()
	for line := range strings.Lines(page) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) < 3 {
			continue
		}
		names := cells[1 : len(cells)-1]
		for i := range names {
			names[i] = strings.TrimSpace(names[i])
		}
		return names
	}
	t.Fatal("docs/transports.md has no table")
	return nil
}
