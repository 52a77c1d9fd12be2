package history

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/streamerson/streamerson/transport"
)

// passage is a message's way through a stream: the two ends of its publish, and its first delivery to each group.
type passage struct {
	id              string
	begun, accepted int64
	first           map[string]int64
}

// outOfOrder finds messages that were delivered before one that had been accepted before they were published: for those that
// were published at once no order is claimed.
func outOfOrder(events []Event, strict bool) (broken []Violation) {
	type line struct{ process, stream, key string }
	type place struct{ id, stream string }
	lines, begun, first := map[line][]*passage{}, map[place]int64{}, map[place]map[string]int64{}
	for i := range events {
		e := &events[i]
		at := place{e.ID, e.Stream}
		switch {
		case e.Lane || e.What == whatDead:
		case e.Kind == Intent:
			if _, again := begun[at]; !again {
				begun[at] = e.Time
			}
		case e.Kind == Published && e.Outcome == transport.OutcomeAccepted.String() && (strict || e.Key != ""):
			l := line{e.Process, e.Stream, e.Key}
			if strict {
				l.key = ""
			}
			lines[l] = append(lines[l], &passage{id: e.ID, begun: begun[at], accepted: e.Time})
		case e.Kind == Delivered:
			if first[at] == nil {
				first[at] = map[string]int64{}
			}
			if t, known := first[at][e.Group]; !known || e.Time < t {
				first[at][e.Group] = e.Time
			}
		}
	}
	for l, ps := range lines {
		groups := map[string]bool{}
		for _, p := range ps {
			p.first = first[place{p.id, l.stream}]
			for g := range p.first {
				groups[g] = true
			}
		}
		for g := range groups {
			broken = append(broken, overtaken(ps, g)...)
		}
	}
	slices.SortFunc(broken, func(a, b Violation) int { return cmp.Compare(a.ID, b.ID) })
	return broken
}

// overtaken goes through the messages of one line, by the beginning of their publishes, and keeps the latest first
// delivery of those that were accepted by then.
func overtaken(ps []*passage, group string) (broken []Violation) {
	byAccepted := slices.Clone(ps)
	slices.SortStableFunc(byAccepted, func(a, b *passage) int { return cmp.Compare(a.accepted, b.accepted) })
	slices.SortStableFunc(ps, func(a, b *passage) int { return cmp.Compare(a.begun, b.begun) })
	latest, who, next := int64(math.MinInt64), "", 0
	for _, p := range ps {
		for ; next < len(byAccepted) && byAccepted[next].accepted <= p.begun; next++ {
			if t, ok := byAccepted[next].first[group]; ok && t > latest {
				latest, who = t, byAccepted[next].id
			}
		}
		if t, ok := p.first[group]; ok && t < latest {
			broken = append(broken, Violation{"order", p.id, fmt.Sprintf("delivered to %s before %s, which had been accepted before it was published", group, who)})
		}
	}
	return broken
}
