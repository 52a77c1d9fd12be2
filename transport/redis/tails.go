package redis

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/transport"
)

const (
	// laneRead is the most messages of one lane that one read brings, laneReadBytes about the most bytes.
	laneRead      = 512
	laneReadBytes = 4 << 20
	// laneTrimEntries and laneTrimBytes are how much read messages stay in a lane before it is trimmed.
	laneTrimEntries = 1024
	laneTrimBytes   = 1 << 20
)

// lane is one Redis stream that is tailed, by one tailer or, if shared, by several.
type lane struct {
	key     string
	shared  bool
	maxLen  int64
	last    string // the id read last
	tailers []*tailer
	// read and size count what was read and not yet trimmed.
	read, size int
}

func (l *lane) ttl() time.Duration {
	if l.shared {
		return sharedTTL
	}
	return laneTTL
}

// tails reads all lanes of the driver over one connection. It has no goroutine: whichever Receive has nothing to return
// takes the turn and reads for all. So a reply goes from the socket to its tailer's caller without a hand-over.
type tails struct {
	d      *Driver
	link   *link
	serial atomic.Int64

	mu      sync.Mutex
	lanes   map[string]*lane
	closed  bool
	partial bool // the read in flight leaves out a lane that had no room

	turn    chan struct{} // capacity 1: holds a token while somebody reads
	reading atomic.Int64  // odd while a read blocks
	wake    chan struct{} // capacity 1

	// What follows belongs to the one whose turn it is.
	avg     int // moving average of a body's size
	entries []entry
	broken  bool          // the last read failed
	pause   time.Duration // before the next read then
}

func newTails(d *Driver, l *link) *tails {
	return &tails{d: d, link: l, lanes: map[string]*lane{}, turn: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
}

func (ts *tails) add(t *tailer, l *lane) error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.closed {
		return failMsg(transport.CodeClosed, "tail", t.address, "the driver is closed")
	}
	if have := ts.lanes[l.key]; have != nil {
		l = have
	} else {
		ts.lanes[l.key] = l
	}
	t.lane = l
	l.tailers = append(l.tailers, t)
	ts.interrupt()
	return nil
}

// interrupt makes the reader look at the set of lanes anew.
func (ts *tails) interrupt() {
	signal(ts.wake)
	if seq := ts.reading.Load(); seq%2 == 1 {
		go ts.d.wake(ts.link, func() bool { return ts.reading.Load() == seq })
	}
}

// roomAgain is called when a tailer that was full is not any more.
func (ts *tails) roomAgain() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.partial {
		ts.partial = false
		ts.interrupt()
	} else {
		signal(ts.wake)
	}
}

func (ts *tails) remove(ctx context.Context, t *tailer) error {
	ts.mu.Lock()
	l := t.lane
	for i, o := range l.tailers {
		if o == t {
			l.tailers = append(l.tailers[:i:i], l.tailers[i+1:]...)
			break
		}
	}
	last := len(l.tailers) == 0
	if last {
		delete(ts.lanes, l.key)
		ts.interrupt()
	}
	ts.mu.Unlock()
	if !last || l.shared {
		return nil
	}
	cmd := goredis.NewIntCmd(context.Background(), "del", l.key)
	if _, err := ts.d.cmd.do(ctx, []goredis.Cmder{cmd}, 0); err != nil {
		return opError("close", t.address, err)
	}
	if err := cmd.Err(); err != nil {
		return fail("close", t.address, err)
	}
	return nil
}

func (ts *tails) close(ctx context.Context) error {
	ts.mu.Lock()
	ts.closed = true
	var all []*tailer
	for _, l := range ts.lanes {
		all = append(all, l.tailers...)
	}
	ts.mu.Unlock()
	var first error
	for _, t := range all {
		if err := t.Close(ctx); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// readFor reads once for all lanes, on the turn of t, which has nothing to return; ctx or t's end wakes it.
func (ts *tails) readFor(ctx context.Context, t *tailer) {
	if ts.broken {
		select {
		case <-time.After(ts.pause):
		case <-ctx.Done():
		case <-t.gone:
		}
	}
	if ctx.Err() != nil || t.closed.Load() {
		return
	}
	lanes := ts.readable()
	if len(lanes) == 0 { // t's own, shared with one that has no room
		select {
		case <-ts.wake:
		case <-ctx.Done():
		case <-t.gone:
		}
		return
	}
	stop := context.AfterFunc(ctx, ts.interrupt)
	err := ts.read(lanes)
	stop()
	if ts.broken || err != nil {
		ts.tell(err)
	}
	if err == nil {
		ts.broken, ts.pause = false, probeMin
	} else if ts.broken {
		ts.pause = min(2*ts.pause, probeMax)
	} else {
		ts.broken, ts.pause = true, probeMin
	}
}

// tell passes a failed read, or its end, on to all tailers.
func (ts *tails) tell(err error) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, l := range ts.lanes {
		for _, t := range l.tailers {
			t.fail(err)
		}
	}
}

// readable lists the lanes whose every tailer has room.
func (ts *tails) readable() []*lane {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.partial = false
	lanes := make([]*lane, 0, len(ts.lanes))
	for _, l := range ts.lanes {
		room := 1
		for _, t := range l.tailers {
			room = min(room, t.free())
		}
		if room > 0 {
			lanes = append(lanes, l)
		} else {
			ts.partial = true
		}
	}
	return lanes
}

// count is how many messages of each lane to ask for: so many that they fit the room, and about 4 MiB.
func (ts *tails) count(lanes []*lane) int {
	n := min(laneRead, max(1, laneReadBytes/max(ts.avg, 128)/len(lanes)))
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, l := range lanes {
		for _, t := range l.tailers {
			n = min(n, max(1, t.free()))
		}
	}
	return n
}

func (ts *tails) read(lanes []*lane) error {
	if ts.d.set.mode == cluster && len(lanes) > 1 {
		return ts.readCluster(lanes)
	}
	return ts.readBlocked(lanes, ts.d.blockTime())
}

func (ts *tails) readBlocked(lanes []*lane, wait time.Duration) error {
	args := make([]any, 0, 6+2*len(lanes))
	args = append(args, "xread", "count", ts.count(lanes))
	if wait > 0 {
		args = append(args, "block", wait.Milliseconds())
	}
	args = append(args, "streams")
	first := len(args)
	for _, l := range lanes {
		args = append(args, &l.key)
	}
	ids := make([]string, len(lanes))
	ts.mu.Lock()
	for i, l := range lanes {
		ids[i] = l.last
		args = append(args, &ids[i])
	}
	ts.mu.Unlock()
	cmd := goredis.NewRawCmd(context.Background(), args...)
	cmd.SetFirstKeyPos(int8(first)) //nolint:gosec // at most 6
	ts.reading.Add(1)
	// A change between readable and here found no read to interrupt.
	select {
	case <-ts.wake:
		ts.reading.Add(1)
		return nil
	default:
	}
	err := ts.link.pipeline([]goredis.Cmder{cmd})
	ts.reading.Add(1)
	if err == nil {
		err = cmd.Err()
	}
	if err != nil {
		return err
	}
	ts.entries, err = parseStreams(cmd.Val(), func(key []byte) int {
		for i, l := range lanes {
			if string(key) == l.key {
				return i
			}
		}
		return -1
	}, ts.entries[:0])
	if err != nil {
		ts.d.log.Warn("tail", "streamerson: a lane can't be read", "err", err)
		return err
	}
	ts.dispatch(lanes, ids)
	clear(ts.entries)
	return nil
}

// readCluster asks lane by lane: they may live in several slots.
func (ts *tails) readCluster(lanes []*lane) error {
	got := false
	for _, l := range lanes {
		if err := ts.readBlocked([]*lane{l}, 0); err != nil {
			return err
		}
		got = got || len(ts.entries) > 0
	}
	if !got {
		select {
		case <-ts.wake:
		case <-time.After(clusterPause / 4):
		}
	}
	return nil
}

// dispatch hands out what was read, unless the lane was made anew in between.
func (ts *tails) dispatch(lanes []*lane, ids []string) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for rest := ts.entries; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].stream == rest[0].stream {
			n++
		}
		part := rest[:n]
		rest = rest[n:]
		l := lanes[part[0].stream]
		if l.last == ids[part[0].stream] {
			l.last = string(part[n-1].id)
		}
		for i, t := range l.tailers {
			bodies := make([][]byte, 0, n)
			for _, e := range part {
				if i == 0 {
					l.read++
					l.size += len(e.body)
					ts.avg += (len(e.body) - ts.avg) / 8
				}
				if l.shared && !idAfter(string(e.id), t.start) { // a private lane's only reader attached before it was read
					continue
				}
				if i > 0 {
					e.body = bytes.Clone(e.body) // each tailer's caller owns its own
				}
				bodies = append(bodies, e.body)
			}
			if len(bodies) > 0 {
				t.push(bodies)
			}
		}
		if !l.shared && (l.read >= laneTrimEntries || l.size >= laneTrimBytes) {
			ts.trim(l)
		}
	}
}

// trim removes, with the next pipeline, what was read of a private lane.
func (ts *tails) trim(l *lane) {
	l.read, l.size = 0, 0
	q := &ts.d.acks
	q.mu.Lock()
	q.trims[l.key] = nextID(l.last)
	q.mu.Unlock()
	ts.d.cmd.soon()
}

// renew extends the lanes' leases in the broker, makes those again that are gone, and trims what was read.
func (ts *tails) renew(ctx context.Context) {
	ts.mu.Lock()
	lanes := make([]*lane, 0, len(ts.lanes))
	cmds := make([]goredis.Cmder, 0, 2*len(ts.lanes))
	for _, l := range ts.lanes {
		if !l.shared && l.read > 0 {
			ts.trim(l)
		}
		lanes = append(lanes, l)
		cmds = append(cmds, goredis.NewIntCmd(context.Background(), "pexpire", l.key, l.ttl().Milliseconds()))
	}
	ts.mu.Unlock()
	for _, l := range lanes {
		if l.shared {
			// Senders cap a shared lane at the default, for they know only its name.
			cmds = append(cmds, goredis.NewIntCmd(context.Background(), "xtrim", l.key, "maxlen", l.maxLen))
		}
	}
	if len(cmds) == 0 {
		return
	}
	if _, err := ts.d.cmd.do(ctx, cmds, 0); err != nil {
		return
	}
	for i, l := range lanes {
		if c := cmds[i].(*goredis.IntCmd); c.Err() != nil || c.Val() != 0 {
			continue
		}
		id, created, err := ts.d.attach(ctx, l)
		if err != nil {
			ts.d.log.Warn("lane", "streamerson: a reply lane is gone and can't be made again", "err", err)
			continue
		}
		if !created {
			continue // a shared lane that another process made again: ids only grow
		}
		ts.mu.Lock()
		_, live := ts.lanes[l.key]
		l.last = id
		for _, t := range l.tailers {
			t.start = id
		}
		if live {
			ts.interrupt()
		}
		ts.mu.Unlock()
		if !live && !l.shared { // closed meanwhile
			_, _ = ts.d.cmd.do(ctx, []goredis.Cmder{goredis.NewIntCmd(context.Background(), "del", l.key)}, 0)
			continue
		}
		ts.d.event(transport.Event{Kind: transport.EventRecreated, Stream: l.key, N: 1})
	}
}

// idAfter compares two entry ids.
func idAfter(a, b string) bool {
	am, as := splitID(a)
	bm, bs := splitID(b)
	return am > bm || am == bm && as > bs
}

func splitID(id string) (ms, seq uint64) {
	m, s, _ := strings.Cut(id, "-")
	ms, _ = strconv.ParseUint(m, 10, 64)
	seq, _ = strconv.ParseUint(s, 10, 64)
	return ms, seq
}
