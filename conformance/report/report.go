// Package report runs the conformance suite outside of `go test` and says what came of it: for a terminal, as JUnit XML, as
// JSON, and as the Markdown from which docs/transports.md is made. `streamerson conform` is all but a caller of it.
package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/streamerson/streamerson/conformance"
	"github.com/streamerson/streamerson/transport"
)

// Interrupted is the outcome of the scenario that ran when its user ended the run.
const Interrupted conformance.Outcome = "interrupted"

// outcomes are all of them, in the order of a summary.
var outcomes = []conformance.Outcome{conformance.Passed, conformance.Refused, conformance.NotRun, conformance.Failed, Interrupted}

// Entry is what became of one scenario.
type Entry struct {
	Scenario string              `json:"scenario"`
	Area     conformance.Area    `json:"area"`
	Outcome  conformance.Outcome `json:"outcome"`
	// Seconds is how long it took, its cleaning up included.
	Seconds float64 `json:"seconds"`
	// Reason is one line for people: the first failure, the missing capability, what the harness lacks. "" when passed.
	Reason string `json:"reason,omitempty"`
	// Output is what the scenario wrote, its failures marked by "FAIL: ".
	Output []string `json:"output,omitempty"`
}

// Report is one run of the suite on one transport.
type Report struct {
	// Broker is what the run was asked for ("redis", "nats+core" or a URL's scheme); it never holds a password.
	Broker string `json:"broker"`
	// Capabilities is what the driver declared.
	Capabilities transport.Capabilities `json:"capabilities"`
	// Durability is Capabilities.Durability in words.
	Durability string    `json:"durability"`
	Started    time.Time `json:"started"`
	Seconds    float64   `json:"seconds"`
	// Seed makes the run's random choices again.
	Seed uint64 `json:"seed"`
	// Slow is the factor on every wait and time limit.
	Slow float64 `json:"slow"`
	// Entries has every scenario that was asked for, in the suite's order.
	Entries []Entry `json:"scenarios"`
}

// Count returns how many scenarios ended so.
func (r *Report) Count(o conformance.Outcome) int {
	n := 0
	for _, e := range r.Entries {
		if e.Outcome == o {
			n++
		}
	}
	return n
}

// Err is nil unless a scenario failed; it names those that did.
func (r *Report) Err() error {
	var names []string
	for _, e := range r.Entries {
		if e.Outcome == conformance.Failed {
			names = append(names, e.Scenario)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d scenarios failed: %s", len(names), len(r.Entries), strings.Join(names, ", "))
}

// totals is "41 passed, 2 refused, 1 failed".
func (r *Report) totals() string {
	var parts []string
	for _, o := range outcomes {
		if n := r.Count(o); n > 0 || o == conformance.Passed || o == conformance.Failed {
			parts = append(parts, fmt.Sprintf("%d %s", n, o))
		}
	}
	return strings.Join(parts, ", ")
}

func (r *Report) took() time.Duration { return seconds(r.Seconds) }

func (e Entry) took() time.Duration { return seconds(e.Seconds) }

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
