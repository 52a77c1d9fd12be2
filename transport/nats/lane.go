package nats

import (
	"context"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/streamerson/streamerson/transport"
)

// tailer is one lane: a subscription of core NATS, and a queue that drops the oldest.
type tailer struct {
	d       *Driver
	address string
	sub     *natsgo.Subscription
	maxLen  int
	wake    chan struct{} // capacity 1
	done    chan struct{}

	mu     sync.Mutex
	queue  [][]byte // from head on, oldest first
	head   int
	closed bool
}

// Tail subscribes and waits until the server has the subscription. In a cluster the other servers learn of it a moment later.
func (d *Driver) Tail(ctx context.Context, ts transport.TailSpec) (transport.Tailer, error) {
	if ts.Name != "" || ts.Shared {
		if err := transport.CheckName(ts.Name); err != nil {
			return nil, err
		}
	}
	if ts.MaxLen < 0 {
		return nil, failMsg(transport.CodeInvalid, "tail", ts.Name, "MaxLen is negative; give 0 for the default")
	}
	if ts.MaxLen == 0 {
		ts.MaxLen = transport.DefaultLaneLen
	}
	t := &tailer{d: d, maxLen: int(ts.MaxLen), wake: make(chan struct{}, 1), done: make(chan struct{})}
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil, errClosed("tail")
	}
	t.address = transport.SharedLane(ts.Name)
	if !ts.Shared {
		t.address = laneAddress(d.instance, ts.Name, d.next())
	}
	d.tailers[t] = true
	d.mu.Unlock()
	subject, _ := laneSubject(t.address)
	lost, up := d.link.current()
	if !up {
		_ = t.Close(ctx)
		return nil, errDown("tail", ts.Name, natsgo.ErrDisconnected)
	}
	var err error
	if t.sub, err = d.nc.Subscribe(subject, t.put); err == nil {
		_ = t.sub.SetPendingLimits(-1, -1) // the queue has the cap
		err = d.mux.barrier(ctx, d.set.timeout, lost)
	}
	if err != nil {
		_ = t.Close(ctx)
		return nil, fail("tail", ts.Name, err)
	}
	return t, nil
}

// put is called by the subscription's goroutine.
func (t *tailer) put(m *natsgo.Msg) {
	body := m.Data
	if body == nil {
		body = []byte{}
	}
	t.mu.Lock()
	if !t.closed {
		if len(t.queue)-t.head >= t.maxLen {
			t.queue[t.head] = nil
			t.head++
		}
		if len(t.queue) == cap(t.queue) && t.head > len(t.queue)/2 { // else append makes room: moving is paid for by growth
			n := copy(t.queue, t.queue[t.head:])
			clear(t.queue[n:])
			t.queue, t.head = t.queue[:n], 0
		}
		t.queue = append(t.queue, body)
	}
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Address implements transport.Tailer.
func (t *tailer) Address() string { return t.address }

// Receive implements transport.Tailer.
func (t *tailer) Receive(ctx context.Context, limit int) ([][]byte, error) {
	if limit < 1 {
		return nil, failMsg(transport.CodeInvalid, "receive", t.address, "max must be at least 1")
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t.mu.Lock()
		if t.closed {
			t.mu.Unlock()
			return nil, errClosed("receive")
		}
		if n := min(limit, len(t.queue)-t.head); n > 0 {
			bodies := make([][]byte, n)
			copy(bodies, t.queue[t.head:])
			clear(t.queue[t.head : t.head+n])
			if t.head += n; t.head == len(t.queue) {
				t.queue, t.head = t.queue[:0], 0
			}
			t.mu.Unlock()
			return bodies, nil
		}
		t.mu.Unlock()
		// Nothing comes while the connection is down, which the caller has to know: a client isn't ready then.
		lost, up := t.d.link.current()
		if !up {
			return nil, failMsg(transport.CodeUnavailable, "receive", t.address, "the connection to NATS is down")
		}
		select {
		case <-t.wake:
		case <-lost:
		case <-t.done:
		case <-ctx.Done():
		}
	}
}

// Close unsubscribes and waits until the server knows: from then on the lane is gone for every sender.
func (t *tailer) Close(ctx context.Context) error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil
	}
	t.closed, t.queue = true, nil
	close(t.done)
	t.mu.Unlock()
	t.d.mu.Lock()
	delete(t.d.tailers, t)
	t.d.mu.Unlock()
	if t.sub == nil {
		return nil
	}
	_ = t.sub.Unsubscribe() // fails only when the connection is closed, and the subscription with it
	if lost, up := t.d.link.current(); up {
		_ = t.d.mux.barrier(ctx, min(t.d.set.timeout, time.Second), lost)
	}
	return nil
}
