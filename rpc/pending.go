package rpc

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// call is one published request that waits. Two parties hold it, the caller and the publisher, and whoever lets go last
// returns it to the pool; who ends it is decided by who takes it out of the table.
type call struct {
	table    *calls
	id       ID
	ready    chan struct{} // capacity 1: a token when reply or err is set
	reply    []byte
	err      *Error
	packing  *packing // nil: the request travels alone
	deadline int64    // in the table's time

	refs    atomic.Int32
	publish atomic.Int64 // when the outcome was known, in the table's time, × 4, + transport.Outcome + 1; 0 while it is under way
	dropped atomic.Bool  // the caller left before publishing: don't
}

func (t *calls) newCall(id ID, deadline int64) *call {
	c, _ := t.pool.Get().(*call)
	if c == nil {
		c = &call{table: t, ready: make(chan struct{}, 1)}
	}
	c.id, c.deadline = id, deadline
	c.refs.Store(2)
	return c
}

func (c *call) release() {
	if c.refs.Add(-1) > 0 {
		return
	}
	select { // the caller may have left without taking the token
	case <-c.ready:
	default:
	}
	c.reply, c.err, c.packing = nil, nil, nil
	c.publish.Store(0)
	if c.dropped.Load() {
		c.dropped.Store(false)
	}
	c.table.pool.Put(c)
}

func (c *call) settle(o transport.Outcome, now int64) {
	c.publish.Store(now<<2 + int64(o) + 1)
}

// publishOutcome is what is known now: a publish under way is unknown.
func (c *call) publishOutcome() transport.Outcome {
	if o := c.publish.Load() & 3; o > 0 {
		return transport.Outcome(o - 1)
	}
	return transport.OutcomeUnknown
}

const (
	callShards = 64
	// recentPerShard bounds how many ended calls are remembered, to tell late and duplicate replies from unknown ones:
	// 64 × 256 = 16,384 ids.
	recentPerShard = 256
	// sweepEvery is how often deadlines are looked at: a call ends at most so much after its deadline. One sweep over the
	// table costs less than a timer a call, which enters and leaves a heap.
	sweepEvery = 20 * time.Millisecond
	// sweepIdle is for how many sweeps without a call the sweeper goes on before it waits to be woken.
	sweepIdle = 50
)

// calls is the table of waiting calls by id, sharded because every call passes it twice from different goroutines.
type calls struct {
	shards [callShards]callShard
	count  atomic.Int64
	base   time.Time // the table's time counts from here, in nanoseconds
	asleep atomic.Bool
	wake   chan struct{}
	// The pool is each client's own: a channel belongs to the testing/synctest bubble that it was made in.
	pool sync.Pool
}

type callShard struct {
	mu      sync.Mutex
	waiting map[uint64]*call // by half the id, which is random; the other half is compared
	recent  [recentPerShard]endedCall
	next    int
}

type endedCall struct {
	id  ID
	why ReplyDrop
}

func newCalls() *calls {
	t := &calls{base: time.Now(), wake: make(chan struct{}, 1)}
	for i := range t.shards {
		t.shards[i].waiting = map[uint64]*call{}
	}
	return t
}

// now is the table's time.
func (t *calls) now() int64 { return int64(time.Since(t.base)) }

func half(id ID) uint64 { return binary.LittleEndian.Uint64(id[8:]) }

// shard relies on ids being random in every byte.
func (t *calls) shard(id ID) *callShard { return &t.shards[id[0]%callShards] }

// add reports false when a call with this id waits already.
func (t *calls) add(c *call) bool {
	s, k := t.shard(c.id), half(c.id)
	s.mu.Lock()
	taken := s.waiting[k] != nil
	if !taken {
		s.waiting[k] = c
	}
	s.mu.Unlock()
	if t.asleep.Load() && t.asleep.Swap(false) {
		t.wake <- struct{}{}
	}
	return !taken
}

// take removes the call and returns it; nil means that somebody else ended it. why is what a later reply to it will be.
func (t *calls) take(id ID, why ReplyDrop) *call {
	s, k := t.shard(id), half(id)
	s.mu.Lock()
	c := s.waiting[k]
	if c != nil && c.id == id {
		s.end(k, c, why)
	} else {
		c = nil
	}
	s.mu.Unlock()
	return c
}

// leave takes c out unless somebody has ended it. Not by its id: when the caller chose that, another call may bear it by now.
func (t *calls) leave(c *call, why ReplyDrop) bool {
	s, k := t.shard(c.id), half(c.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[k] != c {
		return false
	}
	s.end(k, c, why)
	return true
}

func (s *callShard) end(k uint64, c *call, why ReplyDrop) {
	delete(s.waiting, k)
	s.recent[s.next] = endedCall{c.id, why}
	s.next = (s.next + 1) % recentPerShard
}

// lost tells why a reply found no call. It is rare, so it may search.
func (t *calls) lost(id ID) ReplyDrop {
	s := t.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.recent { // from the newest back: a retried call stands there twice
		if e := &s.recent[(s.next-1-i+2*recentPerShard)%recentPerShard]; e.id == id {
			return e.why
		}
	}
	return DropUnknown
}

// sweep ends calls whose deadline has passed, until ctx ends.
func (t *calls) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for idle := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if t.count.Load() > 0 {
			idle = 0
			t.expire(t.now())
			continue
		}
		if idle++; idle < sweepIdle {
			continue
		}
		tick.Stop()
		t.asleep.Store(true)
		if t.count.Load() == 0 || !t.asleep.Swap(false) { // a call that came in between has seen asleep, or is counted
			select {
			case <-ctx.Done():
				return
			case <-t.wake:
			}
		}
		idle = 0
		tick.Reset(sweepEvery)
	}
}

func (t *calls) expire(now int64) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for k, c := range s.waiting {
			if c.deadline > now {
				continue
			}
			s.end(k, c, DropLate)
			c.dropped.Store(true)
			c.err = endOf(context.DeadlineExceeded, c.publishOutcome())
			c.ready <- struct{}{} // never blocks: only the one who took the call sends, once
		}
		s.mu.Unlock()
	}
}

// endAll ends the calls that still wait when the client is closed: neither a reply nor the sweeper will.
func (t *calls) endAll() {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for k, c := range s.waiting {
			s.end(k, c, DropLate)
			c.err = &Error{Code: CodeUnavailable, Message: "the client was closed before the reply came", Published: c.publishOutcome()}
			c.ready <- struct{}{} // as in expire
		}
		s.mu.Unlock()
	}
}
