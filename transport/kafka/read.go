package kafka

import (
	"slices"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/streamerson/streamerson/transport"
)

// gone reports whether the member has ended.
func (m *member) gone() bool { return m.ctx.Err() != nil }

// wanting adds the partitions that want more to the fetcher, unless they are there. The caller holds m.mu.
func (m *member) wanting() {
	if !m.active || m.ctx.Err() != nil {
		return
	}
	for _, p := range m.parts {
		if n := len(p.ahead); !p.fetching && (n == 0 || n < aheadRecords && p.aheadBytes < aheadBytes) {
			p.fetching = true
			p.ask.target, p.ask.asker, p.ask.offset, p.ask.most, p.ask.atOnce = target{m.stream, p.id}, m, p.next, fetchBytes, !p.primed
			m.d.reads.add(&p.ask)
		}
	}
}

// kick has the partitions read that want more. The caller holds m.mu.
func (m *member) kick() {
	m.wanting()
	m.d.reads.flush()
}

// answered takes what was read.
func (m *member) answered(asks []*ask) {
	reset := map[int32]bool{}
	some := false
	m.mu.Lock()
	for _, a := range asks {
		i := slices.IndexFunc(m.parts, func(p *part) bool { return &p.ask == a })
		if i < 0 {
			continue // it went elsewhere meanwhile
		}
		p := m.parts[i]
		if isKafka(a.got.err, kafkago.OffsetOutOfRange) {
			reset[p.id] = true
			continue
		}
		some = some || len(a.got.entries) > 0 || !p.primed
		p.add(a.got.entries)
		p.primed, p.fetching = true, false
	}
	m.wanting()
	m.mu.Unlock()
	if some {
		m.wake()
	}
	if len(reset) > 0 {
		m.d.bgWait.Go(func() { m.resetUntilDone(reset) })
	}
}

// failedWith complains.
func (m *member) failedWith(err error) {
	if !isKafka(err, kafkago.UnknownTopicOrPartition) {
		m.d.log.Warn("fetch "+m.stream, "streamerson: a stream can't be read; trying again", "stream", m.stream, "err", err)
	}
}

func (m *member) resetUntilDone(which map[int32]bool) {
	for m.reset(which) != nil {
		if !sleep(m.ctx, askAgain) {
			return
		}
	}
	m.wake()
	m.mu.Lock()
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
		m.parts[i] = fresh
	}
	return nil
}
