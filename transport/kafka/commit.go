package kafka

import (
	"context"
	"strconv"

	"github.com/segmentio/kafka-go/protocol/offsetcommit"
	"github.com/segmentio/kafka-go/protocol/offsetfetch"
)

// committed is what the broker keeps of a group's progress in a partition; offset is −1 where nothing is.
type committed struct {
	offset   int64
	metadata string
}

// maxUnanswered bounds how many commits without an answer are remembered.
const maxUnanswered = 100

// offsets asks for the given partitions, or for the first n.
func (d *Driver) offsets(ctx context.Context, group, stream string, n int, ids ...int32) (map[int32]committed, error) {
	for p := range n {
		ids = append(ids, int32(p)) //nolint:gosec // a partition's number
	}
	out := map[int32]committed{}
	if len(ids) == 0 {
		return out, nil
	}
	id := groupID(group, stream)
	err := d.cl.retryGroup(ctx, id, func() error {
		r, err := d.cl.group(ctx, id, d.set.timeout, &offsetfetch.Request{GroupID: id, Topics: []offsetfetch.RequestTopic{{Name: stream, PartitionIndexes: ids}}})
		if err != nil {
			return err
		}
		res := r.(*offsetfetch.Response)
		if err := kafkaError(res.ErrorCode); err != nil {
			return err
		}
		for _, t := range res.Topics {
			for _, p := range t.Partitions {
				if err := kafkaError(p.ErrorCode); err != nil {
					return err
				}
				out[p.PartitionIndex] = committed{p.CommittedOffset, p.Metadata}
			}
		}
		return nil
	})
	return out, err
}

// commit sends the progress of all partitions that have some, or of all. It is refused when the generation has ended.
func (m *member) commit(ctx context.Context, all bool) error {
	m.commits.Lock()
	defer m.commits.Unlock()
	m.mu.Lock()
	var parts []*part
	var rows []offsetcommit.RequestPartition
	for _, p := range m.parts {
		if !p.dirty && !all {
			continue
		}
		m.serial++
		p.dirty = false
		pr := p.progress(m.d.instance + strconv.FormatInt(m.serial, 36))
		now := committed{p.watermark, pr.encode(p.watermark)}
		p.sent = append(p.sent, now)
		parts = append(parts, p)
		rows = append(rows, offsetcommit.RequestPartition{PartitionIndex: p.id, CommittedOffset: now.offset, CommittedLeaderEpoch: -1, CommittedMetadata: now.metadata})
	}
	m.mu.Unlock()
	if len(rows) == 0 {
		return nil
	}
	r, err := m.d.cl.group(ctx, m.kafka, m.d.set.timeout, &offsetcommit.Request{
		GroupID: m.kafka, GenerationID: m.generation.Load(), MemberID: m.id, RetentionTimeMs: -1,
		Topics: []offsetcommit.RequestTopic{{Name: m.stream, Partitions: rows}},
	})
	if err == nil {
		for _, t := range r.(*offsetcommit.Response).Topics {
			for _, p := range t.Partitions {
				if e := kafkaError(p.ErrorCode); e != nil {
					err = e
				}
			}
		}
	}
	if misplaced(err) {
		m.d.cl.forgetGroup(m.kafka)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range parts {
		if err != nil {
			p.dirty = true
			p.sent = p.sent[max(0, len(p.sent)-maxUnanswered):]
		} else {
			p.sent = p.sent[len(p.sent)-1:]
		}
	}
	return err
}
