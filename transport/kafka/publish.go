package kafka

import (
	"context"
	"hash/fnv"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"

	"github.com/streamerson/streamerson/transport"
)

const (
	// batchBytes bounds the bodies of one record batch that has more than one.
	batchBytes = 1 << 20
	// spreadEvery is how many messages without a key there are at least in one Publish for each further partition that it uses. A
	// Publish holds what many callers asked for meanwhile: in one partition it would all be one worker's. Each partition costs the
	// broker about as much as ten messages.
	spreadEvery = 8
	// slowest is how many bytes a second a broker takes at the least: a request gets that much more time than timeout.
	slowest = 4 << 20
	// routeTries bounds how often a message is sent again that a broker refused because it doesn't lead the partition: such a
	// refusal is certain, and a topic's leader learns of it some milliseconds after the topic was made.
	routeTries = 8
)

// pauseBefore grows, to about half a second in all.
func pauseBefore(try int) time.Duration { return time.Duration(try+1) * 15 * time.Millisecond }

type target struct {
	topic     string
	partition int32
}

// batch is what is sent to one partition in one request: indexes of messages, in order.
type batch struct {
	target
	msgs []int
}

// Publish sends one Produce request to each broker that leads something, with acks=all.
func (d *Driver) Publish(ctx context.Context, msgs []transport.Message, results []transport.Result) {
	d.publish(ctx, "publish", msgs, results)
}

func reject(r *transport.Result, err error) {
	*r = transport.Result{Outcome: transport.OutcomeRejected, Err: err}
}

func (d *Driver) publish(ctx context.Context, op string, msgs []transport.Message, results []transport.Result) {
	clear(results)
	if err := d.check(op); err != nil {
		for i := range results {
			reject(&results[i], err)
		}
		return
	}
	rounds := d.plan(ctx, op, msgs, results)
	for _, round := range rounds {
		d.sendRound(ctx, op, msgs, results, round)
	}
}

// plan checks the messages and sorts them into rounds; within a partition the order of messages is that of the rounds.
func (d *Driver) plan(ctx context.Context, op string, msgs []transport.Message, results []transport.Result) [][]*batch {
	topics := make([]string, len(msgs))
	var unknown []string
	for i := range msgs {
		topic, err := d.topicOf(op, &msgs[i])
		if err != nil {
			reject(&results[i], err)
			continue
		}
		if topics[i] = topic; d.cl.knownLeaders(topic) == nil {
			unknown = append(unknown, topic)
		}
	}
	var lookup error
	if len(unknown) > 0 {
		_, lookup = d.cl.refresh(ctx, unknown)
	}
	var rounds [][]*batch
	place := map[target]*batch{}
	level := map[target]int{}
	bytes := map[target]int{}
	spreads := d.spreads(msgs, topics)
	for i := range msgs {
		topic := topics[i]
		if topic == "" {
			continue
		}
		leaders := d.cl.knownLeaders(topic)
		if leaders == nil {
			if lookup != nil {
				reject(&results[i], unavailable(op, msgs[i].Stream, lookup))
			} else {
				reject(&results[i], failMsg(transport.CodeNotFound, op, msgs[i].Stream, "it does not exist"))
			}
			continue
		}
		t := target{topic, d.partition(&msgs[i], len(leaders), spreads[topic])}
		if place[t] != nil && bytes[t]+len(msgs[i].Body) > batchBytes {
			place[t], bytes[t] = nil, 0
			level[t]++
		}
		if place[t] == nil {
			place[t] = &batch{target: t}
			for len(rounds) <= level[t] {
				rounds = append(rounds, nil)
			}
			rounds[level[t]] = append(rounds[level[t]], place[t])
		}
		place[t].msgs = append(place[t].msgs, i)
		bytes[t] += len(msgs[i].Body)
	}
	return rounds
}

// spread deals the messages of one Publish that have no key out over a topic's partitions, in runs; the next Publish goes on with
// the partition after its last.
type spread struct {
	total, dealt int
	parts        int // of how many partitions, once known
	first        uint32
}

func (d *Driver) spreads(msgs []transport.Message, topics []string) map[string]*spread {
	out := map[string]*spread{}
	for i := range msgs {
		if topics[i] == "" || msgs[i].Key != "" {
			continue
		}
		if out[topics[i]] == nil {
			out[topics[i]] = &spread{}
		}
		out[topics[i]].total++
	}
	return out
}

// partition hashes the key, or takes the next place of the spread, of n partitions.
func (d *Driver) partition(m *transport.Message, n int, s *spread) int32 {
	if m.Key != "" {
		h := fnv.New32a()
		_, _ = h.Write([]byte(m.Key))
		return int32(h.Sum32() % uint32(n)) //nolint:gosec // less than n
	}
	if s.parts == 0 {
		s.parts = min(n, (s.total+spreadEvery-1)/spreadEvery)
		s.first = d.turn.Add(uint32(s.parts)) - uint32(s.parts) //nolint:gosec // a number of partitions
	}
	run := uint32(s.dealt * s.parts / s.total) //nolint:gosec // less than parts
	s.dealt++
	return int32((s.first + run) % uint32(n)) //nolint:gosec // less than n
}

func (d *Driver) topicOf(op string, m *transport.Message) (string, error) {
	topic := m.Stream
	if m.Lane {
		var ok bool
		if topic, ok = laneTopic(m.Stream); !ok {
			return "", failMsg(transport.CodeInvalid, op, m.Stream, "this is no lane's address")
		}
	} else if err := checkStream(op, m.Stream); err != nil {
		return "", err
	}
	if len(m.Body) > d.set.maxBody {
		return "", failMsg(transport.CodeTooLarge, op, m.Stream, "the body is larger than max_body allows")
	}
	if !m.Lane && op == "publish" {
		if st := d.stream(m.Stream); st != nil {
			st.published.Add(1)
			if st.full.Load() {
				return "", failMsg(transport.CodeFull, op, m.Stream, "as many requests wait as MaxBacklog allows")
			}
		}
	}
	return topic, nil
}

// sendRound sends batches to their leaders, again to others while those refuse for not being the leader.
func (d *Driver) sendRound(ctx context.Context, op string, msgs []transport.Message, results []transport.Result, todo []*batch) {
	for try := 0; len(todo) > 0; try++ {
		byLeader := map[int32][]*batch{}
		var again []*batch
		for _, b := range todo {
			leaders, err := d.cl.leaders(ctx, b.topic)
			switch {
			case err != nil && isKafka(err, kafkago.UnknownTopicOrPartition):
				b.reject(results, failMsg(transport.CodeNotFound, op, msgs[b.msgs[0]].Stream, "it does not exist"))
			case err != nil:
				b.reject(results, unavailable(op, msgs[b.msgs[0]].Stream, err))
			case int(b.partition) >= len(leaders) || leaders[b.partition] < 0:
				again = append(again, b)
			default:
				byLeader[leaders[b.partition]] = append(byLeader[leaders[b.partition]], b)
			}
		}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for leader, bs := range byLeader {
			f := func() {
				refused := d.produce(ctx, op, leader, msgs, results, bs)
				mu.Lock()
				again = append(again, refused...)
				mu.Unlock()
			}
			if len(byLeader) == 1 {
				f()
			} else {
				wg.Go(f)
			}
		}
		wg.Wait()
		for _, b := range again {
			d.cl.forget(b.topic)
		}
		if len(again) > 0 && (try == routeTries || !sleep(ctx, pauseBefore(try))) {
			for _, b := range again {
				b.reject(results, failMsg(transport.CodeUnavailable, op, msgs[b.msgs[0]].Stream, "the partition has no leader"))
			}
			return
		}
		todo = again
	}
}

func (b *batch) reject(results []transport.Result, err error) {
	for _, i := range b.msgs {
		reject(&results[i], err)
	}
}

// produce sends to one broker, and returns what it refused because others lead it.
func (d *Driver) produce(ctx context.Context, op string, leader int32, msgs []transport.Message, results []transport.Result, bs []*batch) (again []*batch) {
	req := &produce.Request{Acks: -1, Timeout: int32(d.set.timeout.Milliseconds())} //nolint:gosec // seconds
	at := map[string]int{}
	find := map[target]*batch{}
	now := d.brokerNow()
	size := 0
	for _, b := range bs {
		j, ok := at[b.topic]
		if !ok {
			j = len(req.Topics)
			at[b.topic] = j
			req.Topics = append(req.Topics, produce.RequestTopic{Topic: b.topic})
		}
		records := make([]protocol.Record, len(b.msgs))
		for k, i := range b.msgs {
			records[k] = record(&msgs[i], now)
			size += len(msgs[i].Body)
		}
		req.Topics[j].Partitions = append(req.Topics[j].Partitions, produce.RequestPartition{
			Partition: b.partition, RecordSet: protocol.RecordSet{Records: protocol.NewRecordReader(records...)}})
		find[b.target] = b
	}
	start := time.Now()
	m, sent, err := d.cl.to(ctx, leader, d.set.timeout+d.set.timeout/4+time.Duration(size)*time.Second/slowest, req)
	if err != nil {
		for _, b := range bs {
			if !sent {
				d.cl.forget(b.topic) // the next one asks where it is now
			}
			for _, i := range b.msgs {
				results[i] = transport.Result{Outcome: transport.OutcomeUnknown, Err: unavailable(op, msgs[i].Stream, err)}
				if !sent {
					results[i].Outcome = transport.OutcomeRejected
				}
			}
		}
		d.wentDown(err)
		return nil
	}
	d.isUp()
	for _, t := range m.(*produce.Response).Topics {
		for _, p := range t.Partitions {
			b := find[target{t.Topic, p.Partition}]
			if b == nil {
				continue
			}
			if p.ErrorCode == 0 && p.LogAppendTime > 0 {
				d.sample(start, p.LogAppendTime)
			}
			if d.outcome(ctx, op, leader, msgs, results, b, kafkaError(p.ErrorCode)) {
				again = append(again, b)
			}
		}
	}
	return again
}

// outcome sets the results of one partition's messages; true means that another broker has to be asked.
func (d *Driver) outcome(ctx context.Context, op string, leader int32, msgs []transport.Message, results []transport.Result, b *batch, err error) bool {
	if moved(err) && !isKafka(err, kafkago.KafkaStorageError) {
		return true
	}
	if isKafka(err, kafkago.MessageSizeTooLarge, kafkago.RecordListTooLarge) && len(b.msgs) > 1 {
		// A topic that others made has a smaller limit, and the batch is over it: each alone may fit.
		for _, i := range b.msgs {
			d.produce(ctx, op, leader, msgs, results, []*batch{{target: b.target, msgs: []int{i}}})
		}
		return false
	}
	for _, i := range b.msgs {
		switch {
		case err == nil:
			results[i] = transport.Result{Outcome: transport.OutcomeAccepted}
		case isKafka(err, kafkago.RequestTimedOut, kafkago.NotEnoughReplicasAfterAppend, kafkago.KafkaStorageError, kafkago.Unknown):
			// The leader may hold it.
			results[i] = transport.Result{Outcome: transport.OutcomeUnknown, Err: fail(op, msgs[i].Stream, err)}
		default:
			reject(&results[i], fail(op, msgs[i].Stream, err))
		}
	}
	return false
}

func record(m *transport.Message, now time.Time) protocol.Record {
	body := m.Body
	if body == nil {
		body = []byte{} // nil would be a tombstone
	}
	r := protocol.Record{Time: now, Value: protocol.NewBytes(body)}
	if m.Key != "" {
		r.Key = protocol.NewBytes([]byte(m.Key))
	}
	return r
}
