package redis

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamerson/streamerson/transport"
)

const (
	// laneTTL is how long a lane outlives its owner; laneEvery is how often the owner renews it, and looks whether it is
	// still there.
	laneTTL   = 30 * time.Second
	laneEvery = time.Second
	// sharedTTL is shorter, for nobody deletes a shared lane: a sender is told soon that nobody reads it any more.
	sharedTTL = 4 * time.Second
)

// tailer is one reader of a lane.
type tailer struct {
	ts      *tails
	lane    *lane
	address string
	// start is the id after which it reads.
	start string
	// room is how many messages may wait here before the lane isn't read any more: a small lane is not enlarged by this.
	room   int
	gone   chan struct{}
	closed atomic.Bool
	ready  chan struct{} // capacity 1: something arrived

	mu     sync.Mutex
	bodies [][]byte
	failed error // of the last read, not yet told
}

// Tail creates the lane in the broker, or joins it if it is shared; the id after which it reads is fixed by that.
func (d *Driver) Tail(ctx context.Context, spec transport.TailSpec) (transport.Tailer, error) {
	if err := d.check("tail"); err != nil {
		return nil, err
	}
	if spec.Name == "" && !spec.Shared {
		spec.Name = "lane"
	}
	if err := transport.CheckName(spec.Name); err != nil {
		return nil, failMsg(transport.CodeInvalid, "tail", "", nameMsg(err))
	}
	if spec.MaxLen < 0 {
		return nil, failMsg(transport.CodeInvalid, "tail", spec.Name, "MaxLen is negative; 0 means the default")
	}
	maxLen := spec.MaxLen
	if maxLen == 0 {
		maxLen = transport.DefaultLaneLen
	}
	t := &tailer{ts: d.tails, gone: make(chan struct{}), ready: make(chan struct{}, 1), room: 1}
	if maxLen >= 2*laneRead {
		t.room = laneRead
	}
	l := &lane{shared: spec.Shared, maxLen: maxLen}
	if spec.Shared {
		t.address, l.key = transport.SharedLane(spec.Name), sharedLaneKey(spec.Name)
	} else {
		t.address = laneAddress(d.instance, spec.Name, int(d.tails.serial.Add(1)), maxLen)
		l.key = t.address
	}
	start, _, err := d.attach(ctx, l)
	if err != nil {
		return nil, err
	}
	t.start, l.last = start, start
	if err := d.tails.add(t, l); err != nil {
		return nil, err
	}
	return t, nil
}

// attach makes sure that the lane is there, renews it, and returns the id after which its new messages come.
func (d *Driver) attach(ctx context.Context, l *lane) (id string, created bool, err error) {
	v, err := d.eval(ctx, "tail", l.key, call{script: laneScript, keys: []string{l.key}, args: []any{l.ttl().Milliseconds()}})
	if err == nil {
		err = asError(v[0])
	}
	if err != nil {
		return "", false, err
	}
	row, _ := v[0].([]any)
	if len(row) == 2 {
		id, _ = row[0].(string)
	}
	if id == "" {
		return "", false, failMsg(transport.CodeInternal, "tail", l.key, "the lane's id can't be understood")
	}
	return id, asInt(row[1]) == 1, nil
}

// Address is constant.
func (t *tailer) Address() string { return t.address }

// Receive reads, or waits for what the Receive of another tailer brings that reads just now.
func (t *tailer) Receive(ctx context.Context, limit int) ([][]byte, error) {
	if limit < 1 {
		return nil, failMsg(transport.CodeInvalid, "receive", t.address, "max is less than 1")
	}
	t.fail(nil) // what failed before is of no interest: it is tried again, at most every 25–250 ms
	for {
		if t.closed.Load() {
			return nil, failMsg(transport.CodeClosed, "receive", t.address, "the tailer is closed")
		}
		out, failed := t.pop(limit)
		if len(out) > 0 {
			return out, nil
		}
		if failed != nil {
			return nil, connFail("receive", t.address, failed)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		select {
		case <-t.ready:
		case <-ctx.Done():
		case <-t.gone:
		case t.ts.turn <- struct{}{}:
			if !t.waits() { // it came while the turn was taken
				t.ts.readFor(ctx, t)
			}
			<-t.ts.turn
		}
	}
}

// waits reports whether there is something to return.
func (t *tailer) waits() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.bodies) > 0 || t.failed != nil
}

func (t *tailer) pop(limit int) ([][]byte, error) {
	t.mu.Lock()
	failed := t.failed
	t.failed = nil
	full := len(t.bodies) >= t.room
	var out [][]byte
	if len(t.bodies) <= limit {
		out, t.bodies = t.bodies, nil
	} else {
		out = t.bodies[:limit:limit]
		t.bodies = t.bodies[limit:]
		signal(t.ready)
	}
	room := full && len(t.bodies) < t.room
	t.mu.Unlock()
	if room {
		t.ts.roomAgain() // not under the lock: the reader takes the set's lock first, then the tailers'
	}
	return out, failed
}

// fail tells a Receive that the lane couldn't be read, once for each failure; a success forgets it.
func (t *tailer) fail(err error) {
	t.mu.Lock()
	t.failed = err
	t.mu.Unlock()
	if err != nil {
		signal(t.ready)
	}
}

// free is how many more messages may be read for this tailer.
func (t *tailer) free() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.room - len(t.bodies)
}

func (t *tailer) push(bodies [][]byte) {
	t.mu.Lock()
	t.bodies = append(t.bodies, bodies...)
	t.mu.Unlock()
	signal(t.ready)
}

// Close detaches; a private lane is deleted, a shared one is left to its other readers or its time to live.
func (t *tailer) Close(ctx context.Context) error {
	if !t.closed.CompareAndSwap(false, true) {
		return nil
	}
	close(t.gone)
	return t.ts.remove(ctx, t)
}
