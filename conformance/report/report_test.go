package report

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/streamerson/streamerson/conformance"
	"github.com/streamerson/streamerson/transport"
	"github.com/streamerson/streamerson/transport/mem"
)

// deaf is a driver with two faults: it refuses to publish, and panics when asked for a lane.
type deaf struct{ transport.Driver }

func (deaf) Publish(_ context.Context, msgs []transport.Message, results []transport.Result) {
	for i := range msgs {
		results[i] = transport.Result{Outcome: transport.OutcomeRejected, Err: &transport.Error{Code: transport.CodeFull, Op: "publish", Msg: "it is\ndeaf"}}
	}
}

func (deaf) Tail(context.Context, transport.TailSpec) (transport.Tailer, error) {
	panic("no lane here")
}

type silent struct{ begun, ended []string }

func (w *silent) Begin(s string, _, _ int) { w.begun = append(w.begun, s) }
func (w *silent) End(e Entry)              { w.ended = append(w.ended, e.Scenario) }

func runOn(ctx context.Context, t *testing.T, w Watcher, breakIt func(transport.Driver) transport.Driver, only ...string) *Report {
	t.Helper()
	b := mem.NewBroker(mem.Config{})
	h := conformance.Harness{Only: only, Slow: 2, Open: func(context.Context) (transport.Driver, error) {
		return breakIt(b.Open(transport.Options{})), nil
	}}
	r, err := Run(ctx, h, conformance.Scenarios(h), w)
	if err != nil {
		t.Fatal(err)
	}
	r.Broker, r.Seed = "mem", 5
	return r
}

func TestRun(t *testing.T) {
	w := &silent{}
	only := []string{"capabilities", "double-ack", "lane", "restart"}
	r := runOn(t.Context(), t, w, func(d transport.Driver) transport.Driver { return deaf{d} }, only...)
	if !reflect.DeepEqual(w.begun, only) || !reflect.DeepEqual(w.ended, only) {
		t.Errorf("the watcher was told of %v and %v", w.begun, w.ended)
	}
	want := []struct {
		outcome conformance.Outcome
		reason  string
	}{{conformance.Passed, ""}, {conformance.Failed, "rejected"}, {conformance.Failed, "panic: no lane here"}, {conformance.NotRun, "Restart"}}
	for i, e := range r.Entries {
		if e.Scenario != only[i] || e.Outcome != want[i].outcome || !strings.Contains(e.Reason, want[i].reason) || strings.Contains(e.Reason, "\n") || e.Area != conformance.AreaDriver {
			t.Errorf("%+v, want %+v", e, want[i])
		}
	}
	if err := r.Err(); err == nil || err.Error() != "2 of 4 scenarios failed: double-ack, lane" {
		t.Errorf("%v", err)
	}
	var table bytes.Buffer
	r.Print(&table)
	for _, text := range []string{"--- failed: double-ack", "FAIL: ", "1 passed, 1 not run, 2 failed", "seed 5"} {
		if !strings.Contains(table.String(), text) {
			t.Errorf("the table has no %q:\n%s", text, &table)
		}
	}
}

func TestFiles(t *testing.T) {
	r := runOn(t.Context(), t, &silent{}, func(d transport.Driver) transport.Driver { return deaf{d} }, "capabilities", "double-ack", "restart")
	r.Entries = append(r.Entries, Entry{Scenario: "x", Area: "rpc", Outcome: Interrupted, Reason: "why"},
		Entry{Scenario: "y", Area: "rpc", Outcome: conformance.Refused, Reason: "not claimed", Seconds: 1.5})
	var text bytes.Buffer
	if err := r.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	back, err := ReadJSON(&text)
	if err != nil {
		t.Fatal(err)
	}
	back.Started = r.Started // a time has a monotonic part as well
	if !reflect.DeepEqual(back, r) {
		t.Errorf("read back:\n%+v, want\n%+v", back, r)
	}
	if _, err := ReadJSON(strings.NewReader(`{"broker": "x", "scenaros": []}`)); err == nil {
		t.Error("a report with an unknown field was read")
	}

	text.Reset()
	if err := r.WriteJUnit(&text); err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(text.Bytes(), new(struct{})); err != nil {
		t.Errorf("the JUnit file is no XML: %v", err)
	}
	xmlText := text.String()
	for _, want := range []string{
		`<?xml version="1.0" encoding="UTF-8"?>`, `tests="5" errors="1" failures="1" skipped="1"`, `<testsuite name="driver" tests="3"`, `<testsuite name="rpc" tests="2"`,
		`classname="conformance.mem.driver"`, `<failure message="`, `<skipped message="`, `<error message="why"`, `<system-out><![CDATA[not claimed`, `time="1.500"`,
	} {
		if !strings.Contains(xmlText, want) {
			t.Errorf("the JUnit file has no %s:\n%s", want, xmlText)
		}
	}
}

// The scenario that runs when the user gives up ends soon, and those after it are not begun.
func TestRunInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	opened := 0
	r := runOn(ctx, t, &silent{}, func(d transport.Driver) transport.Driver {
		if opened++; opened == 3 { // the first is Run's own
			cancel()
		}
		return d
	}, "roundtrip", "lease-expiry", "lane")
	for i, want := range []conformance.Outcome{conformance.Passed, Interrupted, conformance.NotRun} {
		if r.Entries[i].Outcome != want {
			t.Errorf("%+v, want %s", r.Entries[i], want)
		}
	}
	if r.Err() != nil {
		t.Errorf("an interruption is no failure: %v", r.Err())
	}
}

func TestRunWithoutABroker(t *testing.T) {
	gone := errors.New("gone")
	_, err := Run(t.Context(), conformance.Harness{Open: func(context.Context) (transport.Driver, error) { return nil, gone }}, nil, &silent{})
	if !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
}

func TestFirstLine(t *testing.T) {
	long := strings.Repeat("ä", reasonLength)
	for in, want := range map[string]string{"": "", "a\nb": "a", long: long, long + "ä\nb": long + "…"} {
		if got := firstLine(in); got != want {
			t.Errorf("%q gives %q", in, got)
		}
	}
}
