package kafka

import (
	"context"
	"errors"
	"io"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/segmentio/kafka-go/protocol/listoffsets"

	"github.com/streamerson/streamerson/transport"
)

// fetchWait is how long a broker holds a fetch that brings nothing. What arrives meanwhile is sent at once; the wait only
// bounds how long a partition that wants more is in another request than the others.
const fetchWait = 500 * time.Millisecond

// want is one partition to fetch.
type want struct {
	target
	offset int64
}

// got is what came of one.
type got struct {
	entries []entry
	end     int64 // the high watermark
	err     error
}

// fetch reads several partitions that one broker leads, in one request.
func (d *Driver) fetch(ctx context.Context, leader int32, wants []want, wait time.Duration, each int32) (map[target]got, error) {
	req := &fetch.Request{ReplicaID: -1, MaxWaitTime: int32(wait.Milliseconds()), MinBytes: 1, MaxBytes: answerBytes, SessionEpoch: -1} //nolint:gosec // ms
	at := map[string]int{}
	for _, w := range wants {
		j, ok := at[w.topic]
		if !ok {
			j = len(req.Topics)
			at[w.topic] = j
			req.Topics = append(req.Topics, fetch.RequestTopic{Topic: w.topic})
		}
		req.Topics[j].Partitions = append(req.Topics[j].Partitions, fetch.RequestPartition{
			Partition: w.partition, CurrentLeaderEpoch: -1, FetchOffset: w.offset, LogStartOffset: -1, PartitionMaxBytes: each})
	}
	r, _, err := d.cl.to(ctx, leader, wait+d.set.timeout, req)
	if err != nil {
		return nil, err
	}
	res := r.(*fetch.Response)
	if err := kafkaError(res.ErrorCode); err != nil {
		return nil, err
	}
	out := map[target]got{}
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			g := got{end: p.HighWatermark, err: kafkaError(p.ErrorCode)}
			if g.err == nil {
				g.entries, g.err = readRecords(p.RecordSet.Records)
			}
			out[target{t.Topic, p.Partition}] = g
		}
	}
	return out, nil
}

// readRecords copies the records. Control records and the driver's own marks come without a body.
func readRecords(r protocol.RecordReader) (es []entry, err error) {
	readers := []protocol.RecordReader{r}
	if s, ok := r.(*protocol.RecordStream); ok {
		readers = s.Records
	}
	for _, r := range readers {
		if r == nil {
			continue
		}
		_, control := r.(*protocol.ControlBatch)
		for {
			rec, err := r.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return es, err
			}
			e := entry{offset: rec.Offset, at: rec.Time.UnixMilli()}
			if rec.Key != nil {
				_ = rec.Key.Close()
			}
			if rec.Value != nil {
				e.body, err = protocol.ReadAll(rec.Value)
				_ = rec.Value.Close()
				if err != nil {
					return es, err
				}
			}
			if control || isMark(rec.Headers) {
				e.body = nil
			}
			es = append(es, e)
		}
	}
	return es, nil
}

// markHeader is on records that only show that a lane's owner lives.
const markHeader = "streamerson-mark"

func isMark(hs []protocol.Header) bool { return len(hs) > 0 && hs[0].Key == markHeader }

// edge is edges for the given partitions of one topic.
func (d *Driver) edge(ctx context.Context, topic string, which int64, parts ...int32) (map[int32]int64, error) {
	all, err := d.edges(ctx, which, topic)
	if err != nil {
		return nil, err
	}
	out := map[int32]int64{}
	for _, p := range parts {
		out[p] = all[target{topic, p}]
	}
	return out, nil
}

// edges asks for the first (−2) or the end offset (−1) of all partitions of some topics, again for a while when a broker says
// that it doesn't lead one: it may not have heard yet.
func (d *Driver) edges(ctx context.Context, which int64, topics ...string) (map[target]int64, error) {
	for try := 0; ; try++ {
		out, err := d.edgesOnce(ctx, which, topics)
		if err == nil || !moved(err) {
			return out, err
		}
		for _, t := range topics {
			d.cl.forget(t)
		}
		if isKafka(err, kafkago.UnknownTopicOrPartition) && try > 0 || try == routeTries || !sleep(ctx, pauseBefore(try)) {
			return out, err
		}
	}
}

func (d *Driver) edgesOnce(ctx context.Context, which int64, topics []string) (map[target]int64, error) {
	by := map[int32][]listoffsets.RequestTopic{}
	for _, topic := range topics {
		leaders, err := d.cl.leaders(ctx, topic)
		if err != nil {
			return nil, err
		}
		rows := map[int32][]listoffsets.RequestPartition{}
		for p, l := range leaders {
			rows[l] = append(rows[l], listoffsets.RequestPartition{Partition: int32(p), CurrentLeaderEpoch: -1, Timestamp: which}) //nolint:gosec // a partition's number
		}
		for l, ps := range rows {
			by[l] = append(by[l], listoffsets.RequestTopic{Topic: topic, Partitions: ps})
		}
	}
	out := map[target]int64{}
	for leader, rows := range by {
		r, _, err := d.cl.to(ctx, leader, d.set.timeout, &listoffsets.Request{ReplicaID: -1, Topics: rows})
		if err != nil {
			return nil, err
		}
		for _, t := range r.(*listoffsets.Response).Topics {
			for _, p := range t.Partitions {
				if err := kafkaError(p.ErrorCode); err != nil {
					return nil, err
				}
				out[target{t.Topic, p.Partition}] = p.Offset
			}
		}
	}
	return out, nil
}

// kick starts fetches for the partitions that want more and are in none. The caller holds m.mu.
func (m *member) kick() {
	if !m.active || m.ctx.Err() != nil {
		return
	}
	var ps []*part
	var ws []want
	wait := fetchWait
	for _, p := range m.parts {
		if !p.fetching && (len(p.ahead) == 0 || len(p.ahead) < aheadRecords && p.aheadBytes < aheadBytes) {
			p.fetching = true
			if !p.primed {
				wait = 0
			}
			ps = append(ps, p)
			ws = append(ws, want{target{m.stream, p.id}, p.next})
		}
	}
	if len(ps) > 0 {
		m.fetches.Go(func() { m.fetch(ps, ws, wait) })
	}
}

// fetch reads for some partitions, by their leaders, and gives them back.
func (m *member) fetch(ps []*part, ws []want, wait time.Duration) {
	leaders, err := m.d.cl.leaders(m.ctx, m.stream)
	by := map[int32][]int{}
	for i, w := range ws {
		if err == nil && int(w.partition) < len(leaders) {
			by[leaders[w.partition]] = append(by[leaders[w.partition]], i)
		}
	}
	if err != nil || len(by) == 0 {
		m.fetched(ps, ws, nil, err)
		return
	}
	for leader, idx := range by {
		sub, subWants := make([]*part, len(idx)), make([]want, len(idx))
		for k, i := range idx {
			sub[k], subWants[k] = ps[i], ws[i]
		}
		f := func() {
			res, err := m.d.fetch(m.ctx, leader, subWants, wait, fetchBytes)
			m.fetched(sub, subWants, res, err)
		}
		if len(by) == 1 {
			f()
		} else {
			m.fetches.Go(f)
		}
	}
}

func (m *member) fetched(ps []*part, ws []want, res map[target]got, err error) {
	if err != nil && m.ctx.Err() == nil {
		m.d.cl.forget(m.stream)
		if !isKafka(err, kafkago.UnknownTopicOrPartition) {
			m.d.wentDown(err)
			m.d.log.Warn("fetch "+m.stream, "streamerson: a stream can't be read; trying again", "stream", m.stream, "err", err)
		}
	}
	again := err != nil
	reset := map[int32]bool{}
	m.mu.Lock()
	for i, p := range ps {
		g, ok := res[ws[i].target]
		switch {
		case p.lost || !ok:
		case isKafka(g.err, kafkago.OffsetOutOfRange):
			reset[p.id] = true
		case g.err != nil:
			again = true
			m.d.cl.forget(m.stream)
		default:
			p.add(g.entries)
			p.primed = true
		}
	}
	m.mu.Unlock()
	if len(reset) > 0 {
		again = m.reset(reset) != nil || again
	}
	m.wake()
	if again {
		sleep(m.ctx, 50*time.Millisecond)
	}
	m.mu.Lock()
	for _, p := range ps {
		p.fetching = false
	}
	m.kick()
	m.mu.Unlock()
}

// reset goes on where the log begins now: retention has removed what was not read yet, or the topic was made anew.
func (m *member) reset(which map[int32]bool) error {
	ids := make([]int32, 0, len(which))
	for id := range which {
		ids = append(ids, id)
	}
	first, err := m.d.edge(m.ctx, m.stream, -2, ids...)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, p := range m.parts {
		at, ok := first[p.id]
		if !ok || !which[p.id] {
			continue
		}
		if lost := at - p.next; lost > 0 {
			m.d.event(transport.Event{Kind: transport.EventDeleted, Stream: m.stream, N: lost})
		}
		p.lost = true
		fresh := newPart(m, p.id, at, "")
		fresh.fetching = false
		m.parts[i] = fresh
	}
	return nil
}
