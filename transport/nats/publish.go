package nats

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/streamerson/streamerson/transport"
)

const (
	// maxDedupID bounds Message.DedupID, which goes into a header.
	maxDedupID = 256
	// reconnectGrace is how long a Publish with ids waits for the connection, to send again what broke on the way.
	reconnectGrace = 750 * time.Millisecond
)

func rejected(err *transport.Error) transport.Result {
	return transport.Result{Outcome: transport.OutcomeRejected, Err: err}
}

// Publish sends all messages in one go and waits for the server's answers. A message with a DedupID whose outcome is unknown
// because the connection broke is sent again once it is back; JetStream stores it once. It blocks at most the URL's timeout.
func (d *Driver) Publish(ctx context.Context, msgs []transport.Message, results []transport.Result) {
	err := d.check("publish")
	if err == nil && ctx.Err() != nil {
		err = fail("publish", "", ctx.Err())
	}
	if err != nil {
		for i := range msgs {
			results[i] = transport.Result{Outcome: transport.OutcomeRejected, Err: err}
		}
		return
	}
	b := &sending{
		d: d, msgs: msgs, results: results, todo: make([]int, 0, len(msgs)), subjects: make([]string, len(msgs)), deadline: time.Now().Add(d.set.timeout),
	}
	last := -1 // most of a batch goes to one stream or lane: its subject is found once
	for i := range msgs {
		m := &msgs[i]
		if err := d.checkSize(m); err != nil {
			results[i] = transport.Result{Outcome: transport.OutcomeRejected, Err: err}
			continue
		}
		if last >= 0 && msgs[last].Stream == m.Stream && msgs[last].Lane == m.Lane {
			b.subjects[i] = b.subjects[last]
		} else if b.subjects[i], err = d.subjectOf(m); err != nil {
			results[i] = transport.Result{Outcome: transport.OutcomeRejected, Err: err}
			continue
		}
		last = i
		results[i] = transport.Result{}
		b.todo = append(b.todo, i)
	}
	b.run(ctx)
}

func (d *Driver) checkSize(m *transport.Message) error {
	if len(m.Body) > d.caps.MaxBody {
		return failMsg(transport.CodeTooLarge, "publish", m.Stream, fmt.Sprintf("the body has %d bytes; at most %d are allowed (the server's max_payload less %d)", len(m.Body), d.caps.MaxBody, headerRoom))
	}
	if len(m.DedupID) > maxDedupID {
		return failMsg(transport.CodeInvalid, "publish", m.Stream, fmt.Sprintf("DedupID has %d bytes; at most %d are allowed", len(m.DedupID), maxDedupID))
	}
	return nil
}

// subjectOf is where a message goes.
func (d *Driver) subjectOf(m *transport.Message) (string, error) {
	if m.Lane {
		subject, ok := laneSubject(m.Stream)
		if !ok {
			return "", failMsg(transport.CodeInvalid, "publish", m.Stream, "no driver of this kind gave out such a lane address")
		}
		return subject, nil
	}
	if err := transport.CheckName(m.Stream); err != nil {
		return "", err
	}
	if d.set.core {
		return corePrefix + token(m.Stream), nil
	}
	return streamSubject(m.Stream), nil
}

// sending is one Publish.
type sending struct {
	d        *Driver
	msgs     []transport.Message
	results  []transport.Result
	todo     []int
	subjects []string
	deadline time.Time
	// sent marks the messages that may be stored already; nil until a second round.
	sent map[int]bool
	// msg is used again for each message with an id, which is in id; nil until the first.
	msg *natsgo.Msg
	id  []string
}

func (b *sending) run(ctx context.Context) {
	healed, roomed := false, false
	for len(b.todo) > 0 {
		again, gone, full := b.once(ctx)
		b.todo = b.todo[:0]
		if len(full) > 0 && !roomed {
			b.todo = append(b.todo, b.makeRoom(ctx, full)...)
			roomed = true
		}
		left := time.Until(b.deadline)
		if len(again) > 0 && left > 0 && b.d.link.await(ctx, nil, min(left, reconnectGrace)) {
			if b.sent == nil {
				b.sent = map[int]bool{}
			}
			for _, i := range again {
				b.sent[i] = true
			}
			b.todo = append(b.todo, again...)
		}
		if len(gone) > 0 {
			b.todo = append(b.todo, b.resolve(ctx, gone, healed)...)
			healed = true
		}
	}
}

// makeRoom trims the streams that are full, and returns the messages for which there is room now: those behind which none of their
// stream was accepted, which they would come after.
func (b *sending) makeRoom(ctx context.Context, full []int) (again []int) {
	ctx, cancel := context.WithDeadline(ctx, b.deadline)
	defer cancel()
	room, accepted := map[string]bool{}, map[string]int{} // the last that was accepted
	for i, r := range b.results {
		if r.Outcome == transport.OutcomeAccepted && !b.msgs[i].Lane {
			accepted[b.msgs[i].Stream] = i
		}
	}
	for _, i := range full {
		stream := b.msgs[i].Stream
		ok, known := room[stream]
		if !known {
			e, _ := errors.AsType[*jetstream.APIError](b.results[i].Err)
			ok = b.d.roomOn(ctx, stream, e.ErrorCode == errStoreFailed)
			room[stream] = ok
		}
		if last, any := accepted[stream]; ok && (!any || i > last) {
			again = append(again, i)
		}
	}
	return again
}

// once sends what is to do. It returns the messages that broke on the way and can be repeated, those for whose subject no stream
// listens, and those that were refused because there is no room.
func (b *sending) once(ctx context.Context) (again, gone, full []int) {
	lost, up := b.d.link.current()
	if !up {
		for _, i := range b.todo {
			b.refuse(i, errDown("publish", b.msgs[i].Stream, natsgo.ErrDisconnected))
		}
		return nil, nil, nil
	}
	f := b.d.mux.open(len(b.todo), lost)
	defer f.close()
	lanes := false
	for k, i := range b.todo {
		m := &b.msgs[i]
		acked := !m.Lane && !b.d.set.core
		if err := b.send(i, f.reply(k, acked)); err != nil {
			f.forget(k)
			b.refuse(i, errDown("publish", m.Stream, err))
			b.todo[k] = -1
			continue
		}
		lanes = lanes || !acked
	}
	if lanes {
		if err := b.d.nc.Publish(f.reply(barrierIndex, true), nil); err != nil {
			f.forget(barrierIndex)
		}
	}
	end := f.wait(ctx, max(0, time.Until(b.deadline)))
	back := f.got(barrierIndex) != nil
	for k, i := range b.todo {
		if i < 0 {
			continue
		}
		m, answer := &b.msgs[i], f.got(k)
		switch {
		case answer != nil && noResponders(answer):
			gone = append(gone, i)
		case answer != nil && !m.Lane && !b.d.set.core:
			b.results[i] = pubAck(m.Stream, answer.Data)
			if transport.IsCode(b.results[i].Err, transport.CodeFull) {
				full = append(full, i)
			}
		case (m.Lane || b.d.set.core) && back:
			b.results[i] = transport.Result{Outcome: transport.OutcomeAccepted}
		default:
			b.results[i] = unknown(ctx, m.Stream, end)
			if end == connectionLost && m.DedupID != "" && !m.Lane && b.d.caps.Dedup {
				again = append(again, i)
			}
		}
	}
	return again, gone, full
}

// refuse sets a certain rejection, unless an earlier round may have stored the message.
func (b *sending) refuse(i int, err *transport.Error) {
	if b.sent[i] {
		b.results[i] = transport.Result{Err: err}
		return
	}
	b.results[i] = rejected(err)
}

// resolve finds out why nobody listens to some messages' subjects. It returns those that can be sent again.
func (b *sending) resolve(ctx context.Context, gone []int, healed bool) (again []int) {
	known := map[string]*transport.Error{}
	for _, i := range gone {
		m := &b.msgs[i]
		if m.Lane || b.d.set.core {
			b.refuse(i, b.d.nobody(m))
			continue
		}
		err, ok := known[m.Stream]
		if !ok {
			err = b.d.whyGone(ctx, m.Stream, healed)
			known[m.Stream] = err
		}
		if err == nil {
			again = append(again, i)
			continue
		}
		b.refuse(i, err)
	}
	return again
}

// nobody is the error for a message that no subscriber takes.
func (d *Driver) nobody(m *transport.Message) *transport.Error {
	if m.Lane {
		return failMsg(transport.CodeNotFound, "publish", m.Stream, "the lane is gone, or nobody tails it")
	}
	return d.coreNobody(m.Stream)
}

// whyGone tells whether the stream is missing or JetStream is. nil means that the stream is there (again).
func (d *Driver) whyGone(ctx context.Context, stream string, healed bool) *transport.Error {
	ctx, cancel := context.WithTimeout(ctx, d.set.timeout)
	defer cancel()
	_, err := d.js.Stream(ctx, jsStream(stream))
	switch {
	case err == nil && !healed:
		return nil
	case err == nil:
		return failMsg(transport.CodeUnavailable, "publish", stream, "the stream has no leader")
	case !missing(err):
		return &transport.Error{Code: transport.CodeUnavailable, Op: "publish", Stream: stream, Err: err}
	case !healed && d.heal(ctx, stream, ""):
		return nil
	}
	return failMsg(transport.CodeNotFound, "publish", stream, "there is no such stream; Ensure makes it")
}

// send hands one message to the client library, which copies it before it returns.
func (b *sending) send(i int, reply string) error {
	m := &b.msgs[i]
	if m.Lane || m.DedupID == "" || !b.d.caps.Dedup {
		return b.d.nc.PublishRequest(b.subjects[i], reply, m.Body)
	}
	if b.id == nil {
		b.id = make([]string, 1)
		b.msg = &natsgo.Msg{Header: natsgo.Header{jetstream.MsgIDHeader: b.id}}
	}
	b.id[0], b.msg.Subject, b.msg.Reply, b.msg.Data = m.DedupID, b.subjects[i], reply, m.Body
	return b.d.nc.PublishMsg(b.msg)
}

// unknown is the outcome of a message that was not answered.
func unknown(ctx context.Context, stream string, end ending) transport.Result {
	e := &transport.Error{Code: transport.CodeTimeout, Op: "publish", Stream: stream, Err: natsgo.ErrTimeout}
	switch end {
	case connectionLost:
		e.Code, e.Err = transport.CodeUnavailable, natsgo.ErrDisconnected
	case contextEnded:
		e.Code, e.Err = codeOf(ctx.Err()), ctx.Err()
	}
	return transport.Result{Err: e}
}

var (
	ackStart = []byte(`{"stream":"` + jsPrefix)
	ackSeq   = []byte(`"seq"`)
	ackError = []byte(`"error"`)
)

// pubAck reads JetStream's answer to a publish. It names the stream, so that no other program's answer counts.
func pubAck(stream string, data []byte) transport.Result {
	name := token(stream)
	rest, ok := bytes.CutPrefix(data, ackStart)
	if ok && len(rest) > len(name) && string(rest[:len(name)]) == name && rest[len(name)] == '"' && bytes.Contains(rest, ackSeq) && !bytes.Contains(rest, ackError) {
		return transport.Result{Outcome: transport.OutcomeAccepted}
	}
	var a struct {
		Error  *jetstream.APIError `json:"error"`
		Stream string              `json:"stream"`
		Seq    uint64              `json:"seq"`
	}
	switch err := json.Unmarshal(data, &a); {
	case err == nil && a.Error != nil:
		return rejected(&transport.Error{Code: apiCode(a.Error), Op: "publish", Stream: stream, Err: a.Error})
	case err == nil && a.Stream == jsStream(stream) && a.Seq > 0:
		return transport.Result{Outcome: transport.OutcomeAccepted}
	}
	return transport.Result{Err: failMsg(transport.CodeInternal, "publish", stream, fmt.Sprintf("the answer %.100q is no PubAck of it", data))}
}
