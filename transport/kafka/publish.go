package kafka

import (
	"context"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

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

// batch is what is sent to one partition in one request: indexes of messages, in order.
type batch struct {
	target
	msgs        []int
	size, level int

	// The broker's answer, if it gave one; at is when it appended the batch, in ms, or −1.
	answered bool
	err      error
	at       int64
}

// opPublish is the operation that MaxBacklog bounds; replies and dead letters go on.
const opPublish = "publish"

// Publish sends one Produce request to each broker that leads something, with acks=all.
func (d *Driver) Publish(ctx context.Context, msgs []transport.Message, results []transport.Result) {
	d.publish(ctx, opPublish, msgs, results)
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
		if i > 0 && topics[i-1] != "" && msgs[i].Stream == msgs[i-1].Stream && msgs[i].Lane == msgs[i-1].Lane {
			topics[i] = topics[i-1]
		} else if topic, err := topicOf(op, &msgs[i]); err != nil {
			reject(&results[i], err)
		} else if topics[i] = topic; d.cl.knownLeaders(topic) == nil {
			unknown = append(unknown, topic)
		}
	}
	d.admit(op, msgs, topics, results)
	var lookup error
	if len(unknown) > 0 {
		_, lookup = d.cl.refresh(ctx, unknown)
	}
	p := planning{d: d, place: map[target]*batch{}}
	var leaders []int32
	for i, topic := range topics {
		if topic == "" {
			continue
		}
		if p.topic != topic {
			p.turn(topic, i, msgs, topics)
			leaders = d.cl.knownLeaders(topic)
		}
		switch {
		case leaders != nil:
			p.add(i, &msgs[i], leaders)
		case lookup != nil:
			reject(&results[i], unavailable(op, msgs[i].Stream, lookup))
		default:
			reject(&results[i], failMsg(transport.CodeNotFound, op, msgs[i].Stream, "it does not exist"))
		}
	}
	return p.rounds
}

// admit refuses what is too large or for a full stream, by taking its topic away, and counts the rest.
func (d *Driver) admit(op string, msgs []transport.Message, topics []string, results []transport.Result) {
	var st *stream
	name := ""
	for i := range msgs {
		m := &msgs[i]
		if topics[i] == "" {
			continue
		}
		if len(m.Body) > d.set.maxBody {
			reject(&results[i], failMsg(transport.CodeTooLarge, op, m.Stream, "the body is larger than max_body allows"))
			topics[i] = ""
			continue
		}
		if m.Lane || op != opPublish {
			continue
		}
		if m.Stream != name {
			name, st = m.Stream, d.stream(m.Stream)
		}
		if st == nil {
			continue
		}
		st.published.Add(1)
		if st.full.Load() {
			reject(&results[i], failMsg(transport.CodeFull, op, m.Stream, "as many requests wait as MaxBacklog allows"))
			topics[i] = ""
		}
	}
}

// topicOf is the topic that a message goes to.
func topicOf(op string, m *transport.Message) (string, error) {
	if !m.Lane {
		return m.Stream, checkStream(op, m.Stream)
	}
	topic, ok := laneTopic(m.Stream)
	if !ok {
		return "", failMsg(transport.CodeInvalid, op, m.Stream, "this is no lane's address")
	}
	return topic, nil
}

// planning is one Publish that is sorted into rounds.
type planning struct {
	d      *Driver
	rounds [][]*batch
	place  map[target]*batch // the latest of a partition
	last   *batch
	topic  string
	spread spread
	past   map[string]spread // of topics before this one
}

// turn goes on with another topic, whose first message is at i.
func (p *planning) turn(topic string, i int, msgs []transport.Message, topics []string) {
	if p.topic != "" {
		if p.past == nil {
			p.past = map[string]spread{}
		}
		p.past[p.topic] = p.spread
	}
	p.topic = topic
	if s, ok := p.past[topic]; ok {
		p.spread = s
		return
	}
	p.spread = spread{}
	for k := i; k < len(msgs); k++ {
		if msgs[k].Key == "" && topics[k] == topic {
			p.spread.total++
		}
	}
}

func (p *planning) add(i int, m *transport.Message, leaders []int32) {
	t := target{p.topic, p.partition(m, leaders)}
	b := p.last
	if b == nil || b.target != t {
		b = p.place[t]
	}
	if b == nil || b.size+len(m.Body) > batchBytes {
		level := 0
		if b != nil {
			level = b.level + 1
		}
		b = &batch{target: t, level: level}
		p.place[t] = b
		for len(p.rounds) <= level {
			p.rounds = append(p.rounds, nil)
		}
		p.rounds[level] = append(p.rounds[level], b)
	}
	p.last = b
	b.msgs = append(b.msgs, i)
	b.size += len(m.Body)
}

// spread deals the messages of one Publish that have no key out over a topic's partitions, in runs; the next Publish goes on with
// the partition after its last.
type spread struct {
	total, dealt int
	runs         int // of how many, once known
	first        uint32
	owners       [][]int32 // the partitions of each process that serves the stream, if known
}

// partition hashes the key, or takes the next place of the spread.
func (p *planning) partition(m *transport.Message, leaders []int32) int32 {
	n := uint32(len(leaders)) //nolint:gosec // at most thousands
	if m.Key != "" {
		h := fnv.New32a()
		_, _ = h.Write([]byte(m.Key))
		return int32(h.Sum32() % n) //nolint:gosec // less than n
	}
	s := &p.spread
	if s.runs == 0 {
		s.owners = p.d.owners.of(p.topic)
		most := len(leaders)
		if s.owners != nil {
			most = len(s.owners)
		}
		s.runs = min(most, (s.total+spreadEvery-1)/spreadEvery)
		s.first = p.d.turn.Add(uint32(s.runs)) - uint32(s.runs) //nolint:gosec // a number of partitions
	}
	at := s.first + uint32(s.dealt*s.runs/s.total) //nolint:gosec // less than runs
	s.dealt++
	q := at % n
	if k := uint32(len(s.owners)); k > 0 { //nolint:gosec // some processes
		mine := s.owners[at%k]
		q = uint32(mine[at/k%uint32(len(mine))]) % n //nolint:gosec // a partition's number
	}
	for range leaders { // one whose leader has just died takes none until it has another
		if !p.d.cl.avoided(leaders[q]) {
			break
		}
		q = (q + 1) % n
	}
	return int32(q) //nolint:gosec // less than n
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
	slices.SortStableFunc(bs, func(a, b *batch) int { return compareTargets(a.target, b.target) }) // a topic may be named once
	now := d.brokerNow()
	size := 0
	for _, b := range bs {
		size += b.size
	}
	limit := d.set.timeout + d.set.timeout/4 + time.Duration(size)*time.Second/slowest
	start := time.Now()
	sent, err := d.cl.talk(ctx, leader, limit, func(l *link) error {
		answer, err := l.send(ctx, limit, appendProduce(l.request(protocol.Produce, produceVersion), d.set.timeout, msgs, bs, now))
		if err != nil {
			return err
		}
		return readProduced(answer, bs)
	})
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
		d.brokerFailed(leader, sent, err)
		return nil
	}
	d.isUp()
	for _, b := range bs {
		if !b.answered {
			continue // as good as a connection that broke
		}
		if b.err == nil && b.at > 0 {
			d.sample(start, b.at)
		}
		if d.outcome(ctx, op, leader, msgs, results, b, b.err) {
			again = append(again, b)
		}
	}
	return again
}

// appendProduce appends a Produce request's body: topics in the order of bs, neighbours together.
func appendProduce(b []byte, timeout time.Duration, msgs []transport.Message, bs []*batch, now time.Time) []byte {
	b = append(b, 0xff, 0xff)                          // no transaction
	b = append(b, 0xff, 0xff)                          // acks=all
	b = appendInt32s(b, int32(timeout.Milliseconds())) //nolint:gosec // seconds
	return appendTopics(b, bs, func(b []byte, x *batch) []byte {
		x.answered = false
		return appendBatch(appendInt32s(b, x.partition), msgs, x.msgs, now)
	})
}

// readProduced sets err and at of the batches.
func readProduced(answer []byte, bs []*batch) error {
	r := reader{b: answer}
	for range r.count(6) {
		topic := r.take(int(r.uint16()))
		for range r.count(30) {
			partition, code := r.int32(), r.int16()
			r.take(8) // its offset
			at := r.int64()
			r.take(8) // the log's first offset
			for _, b := range bs {
				if b.partition == partition && b.topic == string(topic) {
					b.answered, b.err, b.at = true, kafkaError(code), at
				}
			}
		}
	}
	return r.err
}

// outcome sets the results of one partition's messages; true means that another broker has to be asked.
func (d *Driver) outcome(ctx context.Context, op string, leader int32, msgs []transport.Message, results []transport.Result, b *batch, err error) bool {
	if moved(err) && !isKafka(err, kafkago.KafkaStorageError) {
		return true
	}
	if isKafka(err, kafkago.MessageSizeTooLarge, kafkago.RecordListTooLarge) && len(b.msgs) > 1 {
		// A topic that others made has a smaller limit, and the batch is over it: each alone may fit.
		for _, i := range b.msgs {
			d.produce(ctx, op, leader, msgs, results, []*batch{{target: b.target, msgs: []int{i}, size: len(msgs[i].Body)}})
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
