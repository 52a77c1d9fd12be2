package mem

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/streamerson/streamerson/transport"
)

// lanePrefix begins every private lane's address. No stream's name can contain a colon.
const lanePrefix = "mem-lane:"

// tailer implements transport.Tailer: one reader of a lane. Its state is guarded by Broker.mu.
type tailer struct {
	d      *Driver
	addr   string
	shared string // the lane's name if it is shared
	max    int64
	queue  [][]byte // from head on, oldest first
	head   int
	closed bool
	wake   chan struct{}
	done   chan struct{}
}

// Tail implements transport.Driver. Lanes live exactly as long as their tailers. Each tailer of a shared lane has its own cap.
func (d *Driver) Tail(ctx context.Context, spec transport.TailSpec) (transport.Tailer, error) {
	if spec.Name != "" || spec.Shared {
		if err := transport.CheckName(spec.Name); err != nil {
			return nil, err
		}
	}
	if spec.MaxLen < 0 {
		return nil, &transport.Error{Code: transport.CodeInvalid, Op: "tail", Stream: spec.Name, Msg: "MaxLen is negative; give 0 for the default"}
	}
	if spec.MaxLen == 0 {
		spec.MaxLen = transport.DefaultLaneLen
	}
	if err := d.enter(ctx, "tail"); err != nil {
		return nil, err
	}
	defer d.unlock()
	t := &tailer{d: d, max: spec.MaxLen, wake: make(chan struct{}, 1), done: make(chan struct{})}
	if spec.Shared {
		t.addr, t.shared = transport.SharedLane(spec.Name), spec.Name
		d.b.shared[spec.Name] = append(d.b.shared[spec.Name], t)
	} else {
		d.b.lastID++
		t.addr = lanePrefix + spec.Name + ":" + strconv.FormatUint(d.b.lastID, 10)
		d.b.lanes[t.addr] = t
	}
	d.tailers[t] = struct{}{}
	return t, nil
}

// send delivers m to the lane it names.
func (b *Broker) send(m *transport.Message, buf *arena) error {
	if t := b.lanes[m.Stream]; t != nil {
		t.put(buf.clone(m.Body))
		return nil
	}
	fail := func(code transport.Code, msg string) error {
		return &transport.Error{Code: code, Op: "publish", Stream: m.Stream, Msg: msg}
	}
	if name, ok := strings.CutPrefix(m.Stream, transport.SharedLane("")); ok && transport.CheckName(name) == nil {
		ts := b.shared[name]
		if len(ts) == 0 {
			return fail(transport.CodeNotFound, "nobody tails this shared lane")
		}
		for _, t := range ts {
			t.put(buf.clone(m.Body))
		}
		return nil
	}
	if rest, ok := strings.CutPrefix(m.Stream, lanePrefix); ok {
		name, id, two := strings.Cut(rest, ":")
		n, err := strconv.ParseUint(id, 10, 64)
		if two && err == nil && n >= 1 && n <= b.lastID && (name == "" || transport.CheckName(name) == nil) {
			return fail(transport.CodeNotFound, "the lane is gone")
		}
	}
	return fail(transport.CodeInvalid, "no driver of this broker gave out such a lane address")
}

func (t *tailer) put(body []byte) {
	if int64(len(t.queue)-t.head) >= t.max {
		t.queue[t.head] = nil
		t.head++
	}
	if len(t.queue) == cap(t.queue) && t.head > len(t.queue)/2 { // else append makes room: moving is paid for by growth
		n := copy(t.queue, t.queue[t.head:])
		clear(t.queue[n:])
		t.queue, t.head = t.queue[:n], 0
	}
	t.queue = append(t.queue, body)
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Address implements transport.Tailer.
func (t *tailer) Address() string { return t.addr }

// Receive implements transport.Tailer.
func (t *tailer) Receive(ctx context.Context, max int) ([][]byte, error) {
	if max < 1 {
		return nil, &transport.Error{Code: transport.CodeInvalid, Op: "receive", Stream: t.addr, Msg: "max must be at least 1"}
	}
	b := t.d.b
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b.mu.Lock()
		if t.closed {
			b.mu.Unlock()
			return nil, errClosed("receive")
		}
		paused := b.faults.paused
		if n := min(max, len(t.queue)-t.head); n > 0 && paused == nil {
			bodies := slices.Clone(t.queue[t.head : t.head+n])
			clear(t.queue[t.head : t.head+n])
			if t.head += n; t.head == len(t.queue) {
				t.queue, t.head = t.queue[:0], 0
			}
			b.mu.Unlock()
			return bodies, nil
		}
		b.mu.Unlock()
		select {
		case <-t.wake:
			if paused != nil { // look again once it is over
				select {
				case <-paused:
				case <-t.done:
				case <-ctx.Done():
				}
			}
		case <-paused:
		case <-t.done:
		case <-ctx.Done():
		}
	}
}

// Close implements transport.Tailer. It does not block.
func (t *tailer) Close(context.Context) error {
	t.d.b.mu.Lock()
	defer t.d.b.mu.Unlock()
	t.detach()
	return nil
}

func (t *tailer) detach() {
	if t.closed {
		return
	}
	t.closed, t.queue = true, nil
	close(t.done)
	delete(t.d.tailers, t)
	t.unlist()
}

// unlist makes the lane unknown to senders.
func (t *tailer) unlist() {
	b := t.d.b
	if t.shared == "" {
		delete(b.lanes, t.addr)
		return
	}
	ts := slices.DeleteFunc(b.shared[t.shared], func(x *tailer) bool { return x == t })
	if len(ts) == 0 {
		delete(b.shared, t.shared)
		return
	}
	b.shared[t.shared] = ts
}
