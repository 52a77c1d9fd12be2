package mem

import (
	"context"
	"fmt"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// Publish implements transport.Driver. Without Faults every outcome is known. It blocks only while the broker is paused.
func (d *Driver) Publish(ctx context.Context, msgs []transport.Message, results []transport.Result) {
	if err := d.enter(ctx, "publish"); err != nil {
		for i := range msgs {
			results[i] = transport.Result{Outcome: transport.OutcomeRejected, Err: err}
		}
		return
	}
	defer d.unlock()
	size := 0
	for i := range msgs {
		if msgs[i].Lane {
			size += len(msgs[i].Body)
		}
	}
	buf, now := newArena(size), d.b.now()
	for i := range msgs {
		results[i] = d.publish(&msgs[i], &buf, now)
		// The next one is most often for the same stream: wake its readers once for the run of them.
		if i+1 == len(msgs) || msgs[i+1].Stream != msgs[i].Stream {
			d.wake(&msgs[i])
		}
	}
}

// wake signals members of m's groups for what was appended.
func (d *Driver) wake(m *transport.Message) {
	if m.Lane {
		return
	}
	if s := d.b.streams[m.Stream]; s != nil {
		for _, g := range s.groups {
			g.wake(g.fresh)
			g.fresh = 0
		}
	}
}

func rejected(code transport.Code, stream, msg string) transport.Result {
	return transport.Result{
		Outcome: transport.OutcomeRejected,
		Err:     &transport.Error{Code: code, Op: "publish", Stream: stream, Msg: msg},
	}
}

// publish stores one message; the caller wakes the readers of a stream. buf is for lanes, whose bodies go to the reader as
// they are.
func (d *Driver) publish(m *transport.Message, buf *arena, now time.Duration) transport.Result {
	if len(m.Body) > MaxBody {
		return rejected(transport.CodeTooLarge, m.Stream, fmt.Sprintf("the body has %d bytes; at most %d are allowed", len(m.Body), MaxBody))
	}
	f, faulty := d.b.faults.next(m)
	if faulty && !f.Store {
		return f.result(m)
	}
	r := d.store(m, buf, now)
	if faulty && r.Outcome == transport.OutcomeAccepted {
		return f.result(m)
	}
	return r
}

func (d *Driver) store(m *transport.Message, buf *arena, now time.Duration) transport.Result {
	accepted := transport.Result{Outcome: transport.OutcomeAccepted}
	if m.Lane {
		if err := d.b.send(m, buf); err != nil {
			return transport.Result{Outcome: transport.OutcomeRejected, Err: err}
		}
		return accepted
	}
	s := d.stream(m.Stream)
	if s == nil {
		if err := transport.CheckName(m.Stream); err != nil {
			return transport.Result{Outcome: transport.OutcomeRejected, Err: err}
		}
		return rejected(transport.CodeNotFound, m.Stream, "there is no such stream; Ensure makes it")
	}
	if s.dedup.seen(m.DedupID) {
		return accepted
	}
	if s.n >= s.maxBacklog {
		return rejected(transport.CodeFull, m.Stream, fmt.Sprintf("%d requests wait, which is the stream's MaxBacklog", s.n))
	}
	s.append(m.Body, now)
	s.dedup.add(m.DedupID)
	return accepted
}
