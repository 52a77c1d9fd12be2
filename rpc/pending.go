package rpc

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// call is one published request that waits. Two parties hold it, the caller and the publisher, and whoever lets go last
// returns it to the pool; who ends it is decided by who takes it out of the table.
type call struct {
	table *calls
	id    ID
	ready chan struct{} // capacity 1: a token when reply or err is set
	reply []byte
	err   *Error

	refs      atomic.Int32
	outcome   atomic.Uint32 // transport.Outcome + 1; 0 while the publish is under way
	published atomic.Int64  // nanoseconds from the call's start until the outcome was known
	dropped   atomic.Bool   // the caller left before publishing: don't
	start     time.Time
}

func (t *calls) newCall(id ID) *call {
	c, _ := t.pool.Get().(*call)
	if c == nil {
		c = &call{table: t, ready: make(chan struct{}, 1)}
	}
	c.id, c.start = id, time.Now()
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
	c.reply, c.err = nil, nil
	c.outcome.Store(0)
	c.published.Store(0)
	c.dropped.Store(false)
	c.table.pool.Put(c)
}

func (c *call) settle(o transport.Outcome) {
	c.published.Store(int64(time.Since(c.start)))
	c.outcome.Store(uint32(o) + 1)
}

// publishOutcome is what is known now: a publish under way is unknown.
func (c *call) publishOutcome() transport.Outcome {
	if o := c.outcome.Load(); o > 0 {
		return transport.Outcome(o - 1)
	}
	return transport.OutcomeUnknown
}

const (
	callShards = 64
	// recentPerShard bounds how many ended calls are remembered, to tell late and duplicate replies from unknown ones:
	// 64 × 256 = 16,384 ids.
	recentPerShard = 256
)

// calls is the table of waiting calls by id, sharded because every call passes it twice from different goroutines.
type calls struct {
	shards [callShards]callShard
	count  atomic.Int64
	// The pools are each client's own: a channel or timer belongs to the testing/synctest bubble that it was made in.
	pool   sync.Pool
	timers sync.Pool
}

// timer and putTimer rely on timers as they are since Go 1.23: no stale tick after Stop or Reset.
func (t *calls) timer(d time.Duration) *time.Timer {
	if tm, ok := t.timers.Get().(*time.Timer); ok {
		tm.Reset(d)
		return tm
	}
	return time.NewTimer(d)
}

func (t *calls) putTimer(tm *time.Timer) {
	tm.Stop()
	t.timers.Put(tm)
}

type callShard struct {
	mu      sync.Mutex
	waiting map[ID]*call
	recent  map[ID]ReplyDrop
	ring    [recentPerShard]ID
	next    int
}

func newCalls() *calls {
	t := &calls{}
	for i := range t.shards {
		t.shards[i].waiting = map[ID]*call{}
		t.shards[i].recent = map[ID]ReplyDrop{}
	}
	return t
}

// shard relies on ids being random in every byte.
func (t *calls) shard(id ID) *callShard { return &t.shards[id[0]%callShards] }

func (t *calls) add(c *call) {
	s := t.shard(c.id)
	s.mu.Lock()
	s.waiting[c.id] = c
	s.mu.Unlock()
}

// take removes the call and returns it; nil means that somebody else ended it. why is what a later reply to it will be.
func (t *calls) take(id ID, why ReplyDrop) *call {
	s := t.shard(id)
	s.mu.Lock()
	c := s.waiting[id]
	if c != nil {
		delete(s.waiting, id)
		s.remember(id, why)
	}
	s.mu.Unlock()
	return c
}

func (s *callShard) remember(id ID, why ReplyDrop) {
	if old := s.ring[s.next]; !old.IsZero() {
		delete(s.recent, old)
	}
	s.ring[s.next], s.recent[id] = id, why
	s.next = (s.next + 1) % recentPerShard
}

// lost tells why a reply found no call.
func (t *calls) lost(id ID) ReplyDrop {
	s := t.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if why, ok := s.recent[id]; ok {
		return why
	}
	return DropUnknown
}
