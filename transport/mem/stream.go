package mem

import (
	"strconv"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// Spare entries are kept with their buffers, so that a steady flow allocates nothing; at most 1,024 × 4 KiB a broker.
const (
	maxSpare    = 1024
	maxSpareBuf = 4 << 10
)

// stream is a log of the entries that some group has not settled. All its state is guarded by Broker.mu.
type stream struct {
	b          *Broker
	name       string
	maxBacklog int64
	groups     []*group
	log        entries // oldest first
	n          int64   // entries in log
	lastSeq    uint64
	dedup      *dedup
}

// entry is one message. It is in exactly one list: its stream's log, or the broker's spare ones.
type entry struct {
	prev, next *entry
	seq        uint64
	at         time.Duration
	left       int // groups that have not settled it
	body       []byte
	removed    bool // by Browser.Remove, while a lease still points here
}

// entries is a doubly linked list.
type entries struct{ head, tail *entry }

func (l *entries) push(e *entry) {
	e.prev, e.next = l.tail, nil
	if l.tail == nil {
		l.head = e
	} else {
		l.tail.next = e
	}
	l.tail = e
}

func (l *entries) remove(e *entry) {
	if e.prev == nil {
		l.head = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		l.tail = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.prev, e.next = nil, nil
}

// create makes what sp names and does not exist yet.
func (b *Broker) create(sp transport.StreamSpec) *stream {
	s := b.streams[sp.Stream]
	if s == nil {
		s = &stream{b: b, name: sp.Stream, maxBacklog: transport.DefaultMaxBacklog, lastSeq: b.lastSeq}
		if b.cfg.Dedup {
			s.dedup = newDedup()
		}
		b.streams[sp.Stream] = s
	}
	if sp.MaxBacklog > 0 {
		s.maxBacklog = sp.MaxBacklog
	}
	for _, name := range sp.Groups {
		if s.group(name) != nil {
			continue
		}
		g := &group{s: s, name: name, next: s.log.head, waiting: s.n}
		s.groups = append(s.groups, g)
		for e := s.log.head; e != nil; e = e.next {
			e.left++
		}
	}
	return s
}

func (s *stream) group(name string) *group {
	for _, g := range s.groups {
		if g.name == name {
			return g
		}
	}
	return nil
}

// append stores a message. The groups' members are woken by the caller, once for a whole batch.
func (s *stream) append(body []byte, now time.Duration) {
	e := s.b.free.head
	if e == nil {
		e = &entry{}
	} else {
		s.b.free.remove(e)
		s.b.nfree--
	}
	s.lastSeq++
	e.seq, e.at, e.left, e.body = s.lastSeq, now, len(s.groups), append(e.body[:0], body...)
	s.log.push(e)
	s.n++
	for _, g := range s.groups {
		if g.next == nil {
			g.next = e
		}
		g.waiting++
		g.fresh++
	}
}

// settled notes that one more group is done with e, and removes it after the last.
func (s *stream) settled(e *entry) {
	e.left--
	if e.left > 0 {
		return
	}
	if !e.removed {
		s.log.remove(e)
		s.n--
	}
	s.b.recycle(e)
}

func (b *Broker) recycle(e *entry) {
	if b.nfree >= maxSpare || cap(e.body) > maxSpareBuf {
		return
	}
	*e = entry{body: e.body[:0]}
	b.free.push(e)
	b.nfree++
}

// drop takes e out of the log for good, before all groups have settled it.
func (s *stream) drop(e *entry) {
	for _, g := range s.groups {
		if g.next == nil || e.seq < g.next.seq {
			continue // delivered: its lease or its settlement drops the count
		}
		g.waiting--
		e.left--
		if g.next == e {
			g.next = e.next
		}
	}
	s.log.remove(e)
	s.n--
	e.removed = true
	if e.left <= 0 {
		s.b.recycle(e)
	}
}

func (e *entry) id() string { return strconv.FormatUint(e.seq, 10) }
