package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/streamerson/streamerson/transport"
)

// Rules says what is demanded beyond the rule for all transports. The zero value is that rule alone:
//
//   - accepted: every message that was accepted, or acknowledged to its sender, is handled, dead-lettered or left. A call is
//     handled once its handler has run, it was answered or it was settled (unrun: see expired). A one-way message is handled once
//     its handler returned without an error; a body that is no frame, once it was acked.
//   - expired: no more calls were settled without a run and without a reply than workers counted as expired.
//   - invented: nothing is delivered that nobody published, no handler runs and nothing arrives on a lane without a cause, and
//     no call is answered with a success that no handler gave.
//   - rejected: what was certainly not stored is not delivered.
//   - answers: a request has one answer at most.
//   - replies: a client that was closed in an orderly way gave each reply that it read to a call, or dropped and counted it.
//   - acknowledged: no sender is told of an acceptance that no broker gave.
type Rules struct {
	// Lossy leaves out "accepted": for what is declared to lose (at most once, or in memory when the broker is killed).
	Lossy bool
	// OneEffect demands that no request's handler begins twice in a group; OneEntry that no message is stored twice.
	OneEffect, OneEntry bool
	// InOrder demands that messages of one stream and key, published one after the other by one process, are first delivered in
	// that order; Strict the same of all messages of a stream.
	InOrder, Strict bool
}

// Violation is one breach of a rule.
type Violation struct {
	// Rule is its name, as in the comment of Rules; one-effect, one-entry and order are the names of the others.
	Rule, ID, Text string
}

func (v Violation) String() string { return v.Rule + ": " + v.ID + ": " + v.Text }

// Verdict is what a history came to.
type Verdict struct {
	Violations []Violation
	// Counts has how many messages there were of each outcome, and how many replies were dropped for each reason.
	Counts map[string]int
}

// shown is how many violations of one rule Error names; the others are counted.
const shown = 5

// Err is nil when no rule was broken; otherwise its text names the first few violations of each rule.
func (v Verdict) Err() error {
	if len(v.Violations) == 0 {
		return nil
	}
	var b strings.Builder
	byRule := map[string]int{}
	for _, x := range v.Violations {
		if byRule[x.Rule]++; byRule[x.Rule] <= shown {
			fmt.Fprintf(&b, "\n  %v", x)
		}
	}
	for _, rule := range slices.Sorted(maps.Keys(byRule)) {
		if n := byRule[rule]; n > shown {
			fmt.Fprintf(&b, "\n  %s: %d more", rule, n-shown)
		}
	}
	return fmt.Errorf("the history breaks %d times what every transport owes (%v):%s", len(v.Violations), v, b.String())
}

// String lists the counts.
func (v Verdict) String() string {
	parts := make([]string, 0, len(v.Counts))
	for _, k := range slices.Sorted(maps.Keys(v.Counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, v.Counts[k]))
	}
	return strings.Join(parts, ", ")
}

// story is all that happened to one message, by its id.
type story struct {
	what, stream string
	intents      int
	outcomes     [3]int // by transport.Outcome
	acknowledged bool
	delivered    int
	entries      map[string]bool // by stream and entry
	acked, dead  bool
	left         bool
	began        map[string]int // by group
	ended        int
	endedWell    bool
	answered     int
	answeredWell bool
	toLane       bool // something with this id was published to a lane
	arrived      int
}

func (s *story) accepted() bool { return s.outcomes[transport.OutcomeAccepted] > 0 || s.acknowledged }

// rejected reports whether the message is certainly not stored: each intent has its outcome, a rejection.
func (s *story) rejected() bool {
	return s.intents > 0 && s.outcomes[transport.OutcomeRejected] == s.intents && !s.acknowledged
}

// unrun reports whether a call was settled without a run and without any reply.
func (s *story) unrun() bool {
	return s.what == whatRequest && s.acked && s.ended == 0 && !s.dead && !s.toLane
}

func (s *story) handled() bool {
	switch s.what {
	case whatSend:
		return s.endedWell
	case whatRequest:
		return s.ended > 0 || s.answered > 0 || s.acked
	default:
		return s.acked
	}
}
