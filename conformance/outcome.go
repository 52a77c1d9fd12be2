package conformance

import (
	"fmt"
	"time"
)

// Outcome is how a scenario ended.
type Outcome string

// The outcomes.
const (
	// Passed: the transport does what the scenario demands.
	Passed Outcome = "passed"
	// Refused: the transport doesn't claim what the scenario is about, and what it does instead is what its Capabilities
	// declare. That was tested.
	Refused Outcome = "refused"
	// NotRun: the harness gives no means to run it (no broker to kill, no processes), or it makes no sense here.
	NotRun Outcome = "not run"
	// Failed: a rule was broken.
	Failed Outcome = "failed"
)

// Result is how one scenario ended.
type Result struct {
	Scenario Scenario
	Outcome  Outcome
	// Reason says why it was refused or not run.
	Reason string
	Took   time.Duration
}

// refused notes that what was just tested is the behaviour of a transport that doesn't claim what the scenario is about.
func (e *Env) refused(format string, args ...any) {
	e.why = fmt.Sprintf(format, args...)
	e.Logf("refused: %s", e.why)
}

func (e *Env) result(s Scenario, notRun string, took time.Duration) Result {
	r := Result{Scenario: s, Outcome: Passed, Took: took}
	switch {
	case e.Failed():
		r.Outcome = Failed
	case notRun != "":
		r.Outcome, r.Reason = NotRun, notRun
	case e.cant != "":
		r.Outcome, r.Reason = NotRun, e.cant
	case e.why != "":
		r.Outcome, r.Reason = Refused, e.why
	}
	return r
}
