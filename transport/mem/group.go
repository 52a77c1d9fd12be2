package mem

import (
	"time"

	"github.com/streamerson/streamerson/transport"
)

// forever is a time that never comes.
const forever = time.Duration(1<<63 - 1)

// group is one group's place in one stream. All its state is guarded by Broker.mu.
type group struct {
	s       *stream
	name    string
	next    *entry // the first entry not yet delivered; nil at the end
	waiting int64  // entries from next on
	fresh   int64  // of them, those appended since members were last woken
	members []*member
	turn    int // whom to wake next
	ready   leases
	delayed leases // sorted by due
	leased  int    // leases held in members' lists
	pending int64  // leases in any list
	gone    bool   // the stream was wiped
}

// member is one consumer's share of one group.
type member struct {
	c      *consumer
	g      *group
	listed bool // named in the last Receive's credits
	joined bool // in g.members
	credit int
	round  uint64 // the Receive that set credit
	leased leases // due in order, since a consumer has one lease time
}

type leaseState uint8

const (
	stateLeased   leaseState = iota // held by its member
	stateExpired                    // in group.ready, but its member may still settle it
	stateFree                       // in group.ready or group.delayed, nobody's
	stateAcked                      // done
	stateReleased                   // given back by its member
	stateTaken                      // another member has the message
)

// lease is one delivery of one entry; it is the delivery's token. One that was given back or taken over is never used again.
type lease struct {
	prev, next *lease
	m          *member
	e          *entry
	due        time.Duration // end of the lease, or of the delay
	attempt    int
	state      leaseState
}

// leases is a doubly linked list.
type leases struct{ head, tail *lease }

func (l *leases) insertAfter(at, x *lease) {
	x.prev = at
	if at == nil {
		x.next, l.head = l.head, x
	} else {
		x.next, at.next = at.next, x
	}
	if x.next == nil {
		l.tail = x
	} else {
		x.next.prev = x
	}
}

func (l *leases) push(x *lease) { l.insertAfter(l.tail, x) }

func (l *leases) remove(x *lease) {
	if x.prev == nil {
		l.head = x.next
	} else {
		x.prev.next = x.next
	}
	if x.next == nil {
		l.tail = x.prev
	} else {
		x.next.prev = x.prev
	}
	x.prev, x.next = nil, nil
}

// hold puts a lease into its member's list, to end after the consumer's lease time.
func (g *group) hold(l *lease, now time.Duration) {
	l.state, l.due = stateLeased, now+l.m.c.lease
	l.m.leased.push(l)
	g.leased++
}

// unhold takes a lease that its member may settle out of the list it is in.
func (g *group) unhold(l *lease) {
	if l.state == stateExpired {
		g.ready.remove(l)
		return
	}
	l.m.leased.remove(l)
	g.leased--
}

// free gives an entry back to the group, for another attempt from due on.
func (g *group) free(e *entry, attempt int, due, now time.Duration) {
	l := &lease{e: e, attempt: attempt, due: due, state: stateFree}
	if due <= now {
		g.ready.push(l)
		return
	}
	at := g.delayed.tail
	for at != nil && at.due > due {
		at = at.prev
	}
	g.delayed.insertAfter(at, l)
}

// collect moves to ready what has come due, and forgets members that serve the stream no more and hold nothing.
func (g *group) collect(now time.Duration) {
	for l := g.delayed.head; l != nil && l.due <= now; l = g.delayed.head {
		g.delayed.remove(l)
		g.ready.push(l)
	}
	if g.leased == 0 {
		return
	}
	kept := g.members[:0]
	for _, m := range g.members {
		for l := m.leased.head; l != nil && l.due <= now; l = m.leased.head {
			g.unhold(l)
			l.state = stateExpired
			g.ready.push(l)
		}
		if m.joined = m.listed || m.leased.head != nil; m.joined {
			kept = append(kept, m)
		}
	}
	clear(g.members[len(kept):])
	g.members = kept
}

// due is when the next lease or delay ends.
func (g *group) due() time.Duration {
	d := forever
	if g.delayed.head != nil {
		d = g.delayed.head.due
	}
	if g.leased > 0 {
		for _, m := range g.members {
			if h := m.leased.head; h != nil {
				d = min(d, h.due)
			}
		}
	}
	return d
}

// available is how many entries a member could take now.
func (g *group) available() bool { return g.ready.head != nil || g.next != nil }

// take removes the entry that is to be delivered next and returns it with its attempt, or nil. Redeliveries go first: they
// are older.
func (g *group) take() (e *entry, attempt int) {
	for l := g.ready.head; l != nil; l = g.ready.head {
		g.ready.remove(l)
		l.state = stateTaken
		e, l.e = l.e, nil
		if e.removed {
			g.pending--
			g.s.settled(e)
			continue
		}
		return e, l.attempt + 1
	}
	if e = g.next; e == nil {
		return nil, 0
	}
	g.next = e.next
	g.waiting--
	g.pending++
	return e, 1
}

// wake signals blocked members that can take n more entries between them, in turn.
func (g *group) wake(n int64) {
	for range g.members {
		if n <= 0 {
			return
		}
		g.turn++
		m := g.members[g.turn%len(g.members)]
		if m.c.blocked && !m.c.woken && m.credit > 0 {
			m.c.wakeUp()
			n -= int64(min(m.credit, m.c.max))
		}
	}
}

// alarm makes sure that every blocked member looks again at due.
func (g *group) alarm(due time.Duration) {
	for _, m := range g.members {
		if m.c.blocked && !m.c.woken && m.credit > 0 && m.c.alarm > due {
			m.c.wakeUp()
		}
	}
}

func (g *group) lag(now time.Duration) transport.Lag {
	lag := transport.Lag{Waiting: g.waiting, Pending: g.pending}
	oldest := now
	look := func(ls leases) {
		for l := ls.head; l != nil; l = l.next {
			oldest = min(oldest, l.e.at)
		}
	}
	look(g.ready)
	look(g.delayed)
	for _, m := range g.members {
		look(m.leased)
		if m.listed {
			lag.Consumers++
		}
	}
	if g.next != nil {
		oldest = min(oldest, g.next.at)
	}
	lag.Oldest = now - oldest
	return lag
}
