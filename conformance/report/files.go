package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jstemmer/go-junit-report/v2/junit"

	"github.com/streamerson/streamerson/conformance"
)

// WriteJSON writes the whole report as one JSON object.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// ReadJSON reads what WriteJSON wrote.
func ReadJSON(rd io.Reader) (*Report, error) {
	var r Report
	dec := json.NewDecoder(rd)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return nil, fmt.Errorf("this is no report of the conformance suite: %w", err)
	}
	return &r, nil
}

// WriteJUnit writes the report as JUnit XML: one suite for each area, a scenario that was not run as a skipped test case, an
// interrupted one as an error.
func (r *Report) WriteJUnit(w io.Writer) error {
	all := junit.Testsuites{Name: "conformance " + r.Broker, Time: inSeconds(r.Seconds)}
	for _, area := range r.areas() {
		s := junit.Testsuite{ID: len(all.Suites), Name: string(area), Package: "conformance"}
		s.SetTimestamp(r.Started)
		s.AddProperty("transport", r.Capabilities.Name)
		s.AddProperty("version", r.Capabilities.Version)
		s.AddProperty("seed", fmt.Sprint(r.Seed))
		total := 0.0
		for _, e := range r.Entries {
			if e.Area == area {
				s.AddTestcase(e.testcase(r.Broker))
				total += e.Seconds
			}
		}
		s.Time = inSeconds(total)
		all.AddSuite(s)
	}
	if _, err := io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"); err != nil {
		return err
	}
	return all.WriteXML(w)
}

func (e Entry) testcase(broker string) junit.Testcase {
	c := junit.Testcase{Name: e.Scenario, Classname: "conformance." + broker + "." + string(e.Area), Time: inSeconds(e.Seconds), Status: string(e.Outcome)}
	output := strings.Join(e.Output, "\n")
	switch e.Outcome {
	case conformance.Failed:
		c.Failure = &junit.Result{Message: e.Reason, Data: output}
	case Interrupted:
		c.Error = &junit.Result{Message: e.Reason, Data: output}
	case conformance.NotRun:
		c.Skipped = &junit.Result{Message: e.Reason}
	default:
		if e.Reason != "" {
			output = e.Reason + "\n" + output
		}
		if output != "" {
			c.SystemOut = &junit.Output{Data: output}
		}
	}
	return c
}

// areas are the areas of the report's scenarios, in their order.
func (r *Report) areas() []conformance.Area {
	var out []conformance.Area
	for _, e := range r.Entries {
		if !slices.Contains(out, e.Area) {
			out = append(out, e.Area)
		}
	}
	return out
}

func inSeconds(s float64) string { return fmt.Sprintf("%.3f", s) }
