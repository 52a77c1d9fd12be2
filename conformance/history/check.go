package history

import (
	"fmt"
	"maps"
	"slices"

	"github.com/streamerson/streamerson/transport"
)

// ledger is what a process's client did with the replies that it read.
type ledger struct {
	joined, closed bool
	arrived, used  int
}

// Check judges events, in any order; those of one process have to be in their own.
func (r Rules) Check(events []Event) Verdict {
	stories, ledgers, counts := map[string]*story{}, map[string]*ledger{}, map[string]int{}
	serving, unrun := false, 0
	for i := range events {
		e := &events[i]
		l := ledgers[e.Process]
		if l == nil {
			l = &ledger{}
			ledgers[e.Process] = l
		}
		l.tell(e)
		switch e.Kind {
		case Dropped:
			counts["dropped-"+e.Code]++
		case Expired:
			counts["expired"]++
		case Serving:
			serving = true
		}
		if e.ID == "" {
			continue
		}
		s := stories[e.ID]
		if s == nil {
			s = &story{entries: map[string]bool{}, began: map[string]int{}}
			stories[e.ID] = s
		}
		s.tell(e)
	}
	v := Verdict{Counts: counts}
	for _, id := range slices.Sorted(maps.Keys(stories)) {
		s := stories[id]
		v.count(s)
		if s.unrun() {
			unrun++
		}
		for _, broken := range r.judge(s) {
			broken.ID = id
			v.Violations = append(v.Violations, broken)
		}
	}
	if serving && unrun > counts["expired"] {
		v.Violations = append(v.Violations, Violation{"expired", "all workers", fmt.Sprintf("%d calls were settled without a run or a reply; %d were counted as expired", unrun, counts["expired"])})
	}
	for _, p := range slices.Sorted(maps.Keys(ledgers)) {
		if l := ledgers[p]; l.joined && l.closed && l.arrived != l.used {
			v.Violations = append(v.Violations, Violation{"replies", p, fmt.Sprintf("read %d replies; %d were given to calls or dropped", l.arrived, l.used)})
		}
	}
	if r.InOrder || r.Strict {
		v.Violations = append(v.Violations, outOfOrder(events, r.Strict)...)
	}
	return v
}

func (l *ledger) tell(e *Event) {
	switch e.Kind {
	case Joined:
		l.joined = true
	case Closed:
		l.closed = true
	case Arrived:
		l.arrived++
	case Answered, Dropped:
		l.used++
	}
}

func (s *story) tell(e *Event) {
	switch e.Kind {
	case Intent, Published:
		s.tellPublish(e)
	case Delivered:
		if e.What == whatDead {
			return // somebody reads a dead letter stream
		}
		s.set(e)
		s.delivered++
		s.entries[e.Stream+" "+e.Entry] = true
	case Settled:
		if e.Verb == "ack" && e.Code == "" {
			s.acked = true
			s.dead = s.dead || e.What == whatDead
		}
	case Arrived:
		s.arrived++
	case Began:
		s.began[e.Group]++
	case Ended:
		s.ended++
		s.endedWell = s.endedWell || e.Code == ""
	case Answered:
		s.answered++
		s.answeredWell = s.answeredWell || e.Code == ""
	case Acknowledged:
		s.set(e)
		s.acknowledged = true
	case Left:
		s.left = true
	}
}

func (s *story) tellPublish(e *Event) {
	switch {
	case e.Lane:
		s.toLane = true
	case e.What == whatDead:
		s.dead = s.dead || e.Outcome == transport.OutcomeAccepted.String()
	case e.Kind == Intent:
		s.set(e)
		s.intents++
	default:
		for o := range s.outcomes {
			if e.Outcome == transport.Outcome(o).String() {
				s.outcomes[o]++
			}
		}
	}
}

func (s *story) set(e *Event) { s.what, s.stream = e.What, e.Stream }

func (v *Verdict) count(s *story) {
	if s.intents == 0 {
		return
	}
	v.Counts["published"]++
	switch {
	case s.accepted():
		v.Counts["accepted"]++
	case s.rejected():
		v.Counts["rejected"]++
	default:
		v.Counts["unknown"]++
	}
	for name, is := range map[string]bool{
		"delivered": s.delivered > 0, "handled": s.handled(), "dead": s.dead, "left": s.left, "answered": s.answered > 0,
	} {
		if is {
			v.Counts[name]++
		}
	}
}

// judge applies the rules to one story.
func (r Rules) judge(s *story) (broken []Violation) {
	breaks := func(rule, format string, args ...any) {
		broken = append(broken, Violation{Rule: rule, Text: fmt.Sprintf(format, args...)})
	}
	if s.accepted() && !r.Lossy && !s.handled() && !s.dead && !s.left {
		breaks("accepted", "a %s to %s was accepted; it was delivered %d times, and not handled, dead-lettered or left", s.what, s.stream, s.delivered)
	}
	switch {
	case s.delivered > 0 && s.intents == 0:
		breaks("invented", "delivered from %s, and nobody published it", s.stream)
	case len(s.began) > 0 && s.delivered == 0:
		breaks("invented", "a handler ran, and nothing was delivered")
	case s.answeredWell && s.ended == 0:
		breaks("invented", "answered with a success that no handler gave")
	case s.arrived > 0 && !s.toLane:
		breaks("invented", "arrived on a lane to which nobody published it")
	}
	if s.rejected() && s.delivered > 0 {
		breaks("rejected", "the broker rejected it, and delivered it %d times", s.delivered)
	}
	if s.answered > 1 {
		breaks("answers", "answered %d times", s.answered)
	}
	if s.acknowledged && s.outcomes[transport.OutcomeAccepted] == 0 {
		breaks("acknowledged", "its sender was told of an acceptance that no broker gave; rejected %d times, unknown %d times",
			s.outcomes[transport.OutcomeRejected], s.outcomes[transport.OutcomeUnknown])
	}
	if r.OneEffect {
		for group, n := range s.began {
			if n > 1 {
				breaks("one-effect", "its handler began %d times in group %s", n, group)
			}
		}
	}
	if r.OneEntry && len(s.entries) > 1 {
		breaks("one-entry", "stored as %d entries: %v", len(s.entries), slices.Sorted(maps.Keys(s.entries)))
	}
	return broken
}
