package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"golang.org/x/term"

	"github.com/streamerson/streamerson/conformance"
	"github.com/streamerson/streamerson/conformance/report"
)

// conformProgress shows how a run of the suite goes.
type conformProgress interface {
	report.Watcher
	// done ends the display.
	done()
}

// newConformProgress shows a bar on a terminal, and elsewhere a line for each scenario.
func newConformProgress(w io.Writer, scenarios int) conformProgress {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return plainProgress{w}
	}
	return newBarProgress(f, scenarios)
}

type plainProgress struct{ w io.Writer }

func (plainProgress) Begin(string, int, int) {}
func (plainProgress) done()                  {}
func (p plainProgress) End(e report.Entry)   { fmt.Fprintln(p.w, progressLine(e)) }

func progressLine(e report.Entry) string {
	line := fmt.Sprintf("%-11s  %-30s  %6.2fs", e.Outcome, e.Scenario, e.Seconds)
	if e.Reason != "" {
		line += "  " + oneLine(e.Reason)
	}
	return line
}

// barProgress is a bar with the scenario that runs; what did not pass stays on the screen above it.
type barProgress struct {
	pw     progress.Writer
	bar    *progress.Tracker
	ended  chan struct{}
	failed int
}

const (
	barWidth = 30
	// barMessage is room for the longest names of scenarios, in characters.
	barMessage = 40
	barEvery   = 200 * time.Millisecond
)

func newBarProgress(f *os.File, scenarios int) *barProgress {
	b := &barProgress{pw: progress.NewWriter(), bar: &progress.Tracker{Message: "connecting", Total: int64(scenarios)}, ended: make(chan struct{})}
	b.pw.SetOutputWriter(f)
	b.pw.SetTrackerLength(barWidth)
	b.pw.SetMessageLength(barMessage)
	b.pw.SetUpdateFrequency(barEvery)
	style := b.pw.Style()
	style.Visibility.ETA = false // the last scenarios take longest: it would mislead
	style.Visibility.Value = false
	style.Options.TimeInProgressPrecision, style.Options.TimeDonePrecision = time.Second, time.Second
	if width, _, err := term.GetSize(int(f.Fd())); err == nil {
		b.pw.SetTerminalWidth(width)
	}
	b.pw.AppendTracker(b.bar)
	go func() {
		defer close(b.ended)
		b.pw.Render()
	}()
	for !b.pw.IsRenderInProgress() { // the scenarios count goroutines: it must run before the first begins
		time.Sleep(time.Millisecond)
	}
	return b
}

func (b *barProgress) Begin(scenario string, i, n int) {
	b.bar.UpdateMessage(fmt.Sprintf("%d of %d: %s", i+1, n, scenario))
}

func (b *barProgress) End(e report.Entry) {
	if e.Outcome != conformance.Passed {
		b.pw.Log("%s", progressLine(e))
	}
	if e.Outcome == conformance.Failed {
		b.failed++
	}
	b.bar.Increment(1)
}

func (b *barProgress) done() {
	if b.failed > 0 {
		b.bar.MarkAsErrored()
	} else {
		b.bar.MarkAsDone()
	}
	b.pw.Stop()
	<-b.ended
}
