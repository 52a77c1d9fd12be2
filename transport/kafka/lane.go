package kafka

import (
	"context"
	"strings"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"

	"github.com/streamerson/streamerson/transport"
)

const (
	// markEvery is how often a lane's owner writes a mark into it, and laneTTL after what silence others delete it.
	markEvery = 15 * time.Second
	laneTTL   = 90 * time.Second
	// laneIDLen is the length of the part that makes a lane's address unique (crypto/rand.Text).
	laneIDLen = 26
)

// laneTopic is the topic of a lane's address: "@NAME.ID" or "@ID" for a private one, "~NAME" for a shared one.
func laneTopic(address string) (string, bool) {
	if name, ok := strings.CutPrefix(address, "~"); ok {
		return sharePrefix + name, transport.CheckName(name) == nil
	}
	rest, ok := strings.CutPrefix(address, "@")
	if !ok {
		return "", false
	}
	name, id := "", rest
	if i := strings.LastIndexByte(rest, '.'); i >= 0 {
		if name, id = rest[:i], rest[i+1:]; transport.CheckName(name) != nil {
			return "", false
		}
	}
	return lanePrefix + rest, len(id) == laneIDLen && transport.CheckName(id) == nil
}

// tailer reads one lane: a topic with one partition, read without a group.
type tailer struct {
	d       *Driver
	address string
	topic   string
	shared  bool
	room    int
	ready   chan struct{} // capacity 1
	ctx     context.Context
	cancel  context.CancelFunc
	ask     ask

	mu     sync.Mutex
	closed bool
	bodies [][]byte
	failed error
}

// Tail makes the lane's topic, or finds the end of a shared one, before it returns.
func (d *Driver) Tail(ctx context.Context, spec transport.TailSpec) (transport.Tailer, error) {
	if err := d.check("tail"); err != nil {
		return nil, err
	}
	if spec.Name != "" || spec.Shared {
		if err := transport.CheckName(spec.Name); err != nil {
			return nil, failMsg(transport.CodeInvalid, "tail", "", nameMsg(err))
		}
	}
	t := &tailer{d: d, shared: spec.Shared, room: transport.DefaultLaneLen, ready: make(chan struct{}, 1)}
	if spec.MaxLen > 0 {
		t.room = int(min(spec.MaxLen, 1<<30))
	}
	switch {
	case spec.Shared:
		t.address = transport.SharedLane(strings.Clone(spec.Name))
	case spec.Name == "":
		t.address = "@" + newID()
	default:
		t.address = "@" + spec.Name + "." + newID()
	}
	t.topic, _ = laneTopic(t.address)
	if _, err := d.ensureTopics(ctx, []topicSpec{{t.topic, 1, laneConfig}}); err != nil {
		return nil, opError("tail", t.address, err)
	}
	if spec.Shared {
		end, err := d.edge(ctx, t.topic, -1, 0)
		if err != nil {
			return nil, opError("tail", t.address, err)
		}
		t.ask.offset = end[0]
	}
	t.ctx, t.cancel = context.WithCancel(d.bg)
	t.ask.target, t.ask.asker, t.ask.most = target{t.topic, 0}, t, answerBytes
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		t.cancel()
		return nil, failMsg(transport.CodeClosed, "tail", t.address, "the driver is closed")
	}
	d.tailers[t] = true
	d.reads.add(&t.ask)
	d.reads.flush()
	return t, nil
}

// gone reports whether the tailer has been closed.
func (t *tailer) gone() bool { return t.ctx.Err() != nil }

// answered takes what was read, and asks again.
func (t *tailer) answered(asks []*ask) {
	a := asks[0]
	if isKafka(a.got.err, kafkago.OffsetOutOfRange) {
		t.d.bgWait.Go(t.reset)
		return
	}
	t.mu.Lock()
	if t.bodies == nil && len(a.got.entries) > 0 {
		t.bodies = make([][]byte, 0, len(a.got.entries))
	}
	for _, e := range a.got.entries {
		if e.offset < a.offset {
			continue
		}
		a.offset = e.offset + 1
		if e.body != nil {
			t.bodies = append(t.bodies, e.body)
		}
	}
	if over := len(t.bodies) - t.room; over > 0 {
		t.bodies = append([][]byte(nil), t.bodies[over:]...)
	}
	some := len(t.bodies) > 0
	t.mu.Unlock()
	if some {
		signal(t.ready)
	}
	t.d.reads.add(a)
}

// reset goes on where the lane begins now: it was made anew, or a reader was slower than its retention.
func (t *tailer) reset() {
	for {
		first, err := t.d.edge(t.ctx, t.topic, -2, 0)
		if err == nil {
			t.ask.offset = first[0]
			t.d.reads.add(&t.ask)
			t.d.reads.flush()
			return
		}
		if !sleep(t.ctx, askAgain) {
			return
		}
	}
}

// failedWith lets Receive return why the lane can't be read, unless that is usual after it was made.
func (t *tailer) failedWith(err error) {
	if moved(err) {
		return
	}
	t.d.log.Warn("lane "+t.address, "streamerson: a lane can't be read; trying again", "lane", t.address, "err", err)
	t.fail(err)
}

func (t *tailer) fail(err error) {
	t.mu.Lock()
	t.failed = err
	t.mu.Unlock()
	if err != nil {
		signal(t.ready)
	}
}

// Address is constant.
func (t *tailer) Address() string { return t.address }

// Receive returns what was read, or waits.
func (t *tailer) Receive(ctx context.Context, limit int) ([][]byte, error) {
	if limit < 1 {
		return nil, failMsg(transport.CodeInvalid, "receive", t.address, "max is less than 1")
	}
	t.fail(nil) // what failed before is of no interest: it is tried again all the time
	for {
		t.mu.Lock()
		n := min(limit, len(t.bodies))
		out := t.bodies[:n:n]
		if t.bodies = t.bodies[n:]; len(t.bodies) == 0 {
			t.bodies = nil // the rest of the array is the caller's
		}
		more, closed, failed := len(t.bodies) > 0, t.closed, t.failed
		if t.failed = nil; closed {
			failed = nil
		}
		t.mu.Unlock()
		switch {
		case closed:
			return nil, failMsg(transport.CodeClosed, "receive", t.address, "the tailer is closed")
		case n > 0:
			if more {
				signal(t.ready)
			}
			return out, nil
		case failed != nil:
			return nil, unavailable("receive", t.address, failed)
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		select {
		case <-t.ready:
		case <-ctx.Done():
		case <-t.ctx.Done():
		}
	}
}

// Close deletes a private lane's topic. A shared lane's stays for the others; the last one's goes when nobody marks it.
func (t *tailer) Close(ctx context.Context) error {
	topic := t.end()
	if topic == "" {
		return nil
	}
	if err := t.d.deleteTopics(ctx, topic); err != nil {
		return opError("close", t.address, err)
	}
	return nil
}

// end detaches the tailer, the first time, and returns the topic that is to be deleted.
func (t *tailer) end() string {
	t.mu.Lock()
	closed := t.closed
	t.closed = true
	t.mu.Unlock()
	t.cancel()
	t.d.mu.Lock()
	delete(t.d.tailers, t)
	t.d.mu.Unlock()
	if closed || t.shared {
		return ""
	}
	return t.topic
}

// mark writes a record that readers skip, and returns when; the broker's answer also tells its clock.
func (d *Driver) mark(ctx context.Context, topic string) error {
	leaders, err := d.cl.leaders(ctx, topic)
	if err != nil {
		return err
	}
	rec := protocol.Record{Time: d.brokerNow(), Headers: []protocol.Header{{Key: markHeader, Value: []byte(d.instance)}}}
	start := time.Now()
	m, err := d.cl.to(ctx, leaders[0], d.set.timeout, &produce.Request{Acks: -1, Timeout: int32(d.set.timeout.Milliseconds()), //nolint:gosec // seconds
		Topics: []produce.RequestTopic{{Topic: topic, Partitions: []produce.RequestPartition{{RecordSet: protocol.RecordSet{Records: protocol.NewRecordReader(rec)}}}}}})
	if err != nil {
		return err
	}
	for _, t := range m.(*produce.Response).Topics {
		for _, p := range t.Partitions {
			if err := kafkaError(p.ErrorCode); err != nil {
				return err
			}
			if p.LogAppendTime > 0 {
				d.sample(start, p.LogAppendTime)
			}
		}
	}
	return nil
}
