package kafka

import (
	"cmp"
	"context"
	"strings"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
)

func compareTargets(a, b target) int {
	return cmp.Or(strings.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
}

// appendFetch writes a Fetch without a session: what it names changes all the time.
func appendFetch(l *link, asks []*ask, wait time.Duration) []byte {
	b := l.request(protocol.Fetch, fetchVersion)
	b = appendInt32s(b, -1, int32(wait.Milliseconds()), 1, answerBytes) //nolint:gosec // ms
	b = append(b, 0)                                                    // also what isn't committed
	b = appendInt32s(b, 0, -1)
	b = appendTopics(b, asks, func(b []byte, a *ask) []byte {
		a.got = got{err: kafkago.Unknown} // in case the answer leaves it out
		b = appendInt32s(b, a.partition, -1)
		b = appendInt64s(b, a.offset, -1)
		return appendInt32s(b, a.most)
	})
	b = appendInt32s(b, 0)
	return append(b, 0, 0) // no rack
}

// readFetched sets got of the asks.
func readFetched(answer []byte, asks []*ask, es *[]entry, bodies *arena) error {
	r := reader{b: answer}
	r.take(4) // throttle time
	if err := kafkaError(r.int16()); err != nil {
		return err
	}
	r.take(4) // session
	*es = (*es)[:0]
	next := 0 // the answer has the request's order, as a rule
	for range r.count(6) {
		topic := r.take(int(r.uint16()))
		for range r.count(38) {
			partition, code := r.int32(), r.int16()
			r.take(8 + 8 + 8) // high watermark, last stable offset, first offset
			r.take(16 * r.count(16))
			r.take(4) // preferred replica
			set := r.take(max(int(r.int32()), 0))
			if r.err != nil {
				return r.err
			}
			for range asks {
				a := asks[next%len(asks)]
				next++
				if a.partition != partition || a.topic != string(topic) {
					continue
				}
				a.got = got{err: kafkaError(code)}
				if a.got.err == nil {
					from := len(*es)
					*es, a.got.err = appendRecords(*es, set, a.offset, bodies)
					a.got.entries = (*es)[from:]
				}
				break
			}
		}
	}
	return r.err
}

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
		r, err := d.cl.to(ctx, leader, d.set.timeout, &listoffsets.Request{ReplicaID: -1, Topics: rows})
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
