package kafka

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/deletetopics"
	"github.com/segmentio/kafka-go/protocol/offsetcommit"
	"golang.org/x/sync/errgroup"

	"github.com/streamerson/streamerson/transport"
)

// Names in Kafka. A stream's topic has the stream's name.
const (
	// reserved begins the names of the driver's own topics; no stream may have such a name.
	reserved    = "streamerson."
	lanePrefix  = "streamerson.lane."
	sharePrefix = "streamerson.shared."
	clockTopic  = "streamerson.clock"
)

// groupID names Kafka's group for one stream of one of our groups. Each stream has a Kafka group of its own: a rebalance of one
// doesn't stop the others, and members that serve different streams share what they have in common. Neither name has a colon.
func groupID(group, stream string) string { return "streamerson:" + group + ":" + stream }

// leadLimit bounds how long Ensure waits for a new topic's leaders, besides its context.
const leadLimit = 30 * time.Second

// ensureAtOnce bounds how many groups are made at once, each on a connection.
const ensureAtOnce = 4

// slack is what a record batch adds to the body: its header, keys, and the batch's own.
const slack = 64 << 10

// topicSpec says how to make a topic.
type topicSpec struct {
	name       string
	partitions int32
	configs    map[string]string
}

// laneConfig lets a lane that nobody reads shrink.
var laneConfig = map[string]string{"retention.ms": "300000", "segment.ms": "300000", "retention.bytes": "268435456"}

// ensureTopics makes the topics that don't exist, and returns when all have leaders; of those that it made, when the leaders
// know it.
func (d *Driver) ensureTopics(ctx context.Context, specs []topicSpec) (created []string, err error) {
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = s.name
	}
	if _, err := d.cl.refresh(ctx, names); err != nil {
		return nil, err
	}
	req := &createtopics.Request{TimeoutMs: int32(d.set.timeout.Milliseconds())} //nolint:gosec // seconds
	for _, s := range specs {
		if d.cl.knownLeaders(s.name) != nil {
			continue
		}
		t := createtopics.RequestTopic{Name: s.name, NumPartitions: s.partitions, ReplicationFactor: d.set.replication, Configs: []createtopics.RequestConfig{
			// The broker's answer to a publish then tells its clock.
			{Name: "message.timestamp.type", Value: "LogAppendTime"},
			{Name: "max.message.bytes", Value: strconv.Itoa(d.set.maxBody + slack)},
		}}
		for k, v := range s.configs {
			t.Configs = append(t.Configs, createtopics.RequestConfig{Name: k, Value: v})
		}
		req.Topics = append(req.Topics, t)
	}
	if len(req.Topics) == 0 {
		return nil, d.awaitLeaders(ctx, names)
	}
	if created, err = d.create(ctx, req); err != nil {
		return created, err
	}
	if err := d.awaitLeaders(ctx, names); err != nil {
		return created, err
	}
	made := make([]string, len(req.Topics))
	for i, t := range req.Topics {
		made[i] = t.Name
	}
	// Many partitions at once take a broker a while.
	for deadline := time.Now().Add(leadLimit); ; {
		_, err = d.edges(ctx, -1, made...)
		if !moved(err) || time.Now().After(deadline) || ctx.Err() != nil {
			return created, err
		}
	}
}

// fencedLimit is how long a refusal for too few brokers is not believed: one that was silent for a moment counts as away until it
// has spoken to the controller, and may answer everything else meanwhile.
const fencedLimit = 5 * time.Second

func (d *Driver) create(ctx context.Context, req *createtopics.Request) (created []string, err error) {
	for start := time.Now(); ; {
		m, err := d.cl.to(ctx, d.controller(), d.set.timeout, req)
		if err != nil {
			return created, err
		}
		again := false
		for _, t := range m.(*createtopics.Response).Topics {
			switch e := kafkaError(t.ErrorCode); {
			case e == nil:
				created = append(created, t.Name)
			case isKafka(e, kafkago.TopicAlreadyExists):
			case isKafka(e, kafkago.NotController), isKafka(e, kafkago.InvalidReplicationFactor) && time.Since(start) < fencedLimit:
				again = true
			default:
				f := fail("ensure", t.Name, e)
				f.Msg = t.ErrorMessage
				return created, f
			}
		}
		if !again {
			return created, nil
		}
		if !sleep(ctx, 50*time.Millisecond) {
			return created, ctx.Err()
		}
		if _, err := d.cl.refresh(ctx, []string{}); err != nil {
			return created, err
		}
	}
}

func (d *Driver) controller() int32 {
	d.cl.mu.Lock()
	defer d.cl.mu.Unlock()
	return d.cl.controller
}

// awaitLeaders polls until every partition has a leader: a group that joins before sticks without partitions.
func (d *Driver) awaitLeaders(ctx context.Context, names []string) error {
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		ready := true
		for _, n := range names {
			l := d.cl.knownLeaders(n)
			ready = ready && l != nil && !slices.Contains(l, -1)
		}
		if ready {
			return nil
		}
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
		if _, err := d.cl.refresh(ctx, names); err != nil {
			return err
		}
	}
}

// deleteEach is what a broker may take for each topic of a DeleteTopics, besides timeout.
const deleteEach = 100 * time.Millisecond

// deleteTopics deletes them by one request, and waits until a broker no longer knows them.
func (d *Driver) deleteTopics(ctx context.Context, names ...string) error {
	if len(names) == 0 {
		return nil
	}
	limit := d.set.timeout + time.Duration(len(names))*deleteEach
	m, err := d.cl.to(ctx, d.controller(), limit, &deletetopics.Request{TopicNames: names, TimeoutMs: int32(limit.Milliseconds())}) //nolint:gosec // seconds
	if err != nil {
		return err
	}
	for _, t := range m.(*deletetopics.Response).Responses {
		if e := kafkaError(t.ErrorCode); e != nil && !isKafka(e, kafkago.UnknownTopicOrPartition) {
			return e
		}
	}
	for {
		if _, err := d.cl.refresh(ctx, names); err != nil {
			return err
		}
		if !slices.ContainsFunc(names, func(n string) bool { return d.cl.knownLeaders(n) != nil }) {
			return nil
		}
		if !sleep(ctx, 5*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// Ensure makes topics, and groups by committing the beginning where nothing is committed yet.
func (d *Driver) Ensure(ctx context.Context, specs []transport.StreamSpec) error {
	if err := d.check("ensure"); err != nil {
		return err
	}
	for _, s := range specs {
		if err := checkStream("ensure", s.Stream); err != nil {
			return err
		}
		for _, g := range s.Groups {
			if err := transport.CheckName(g); err != nil {
				return failMsg(transport.CodeInvalid, "ensure", s.Stream, "group: "+nameMsg(err))
			}
		}
	}
	if err := d.ensure(ctx, specs); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range specs {
		st := d.streams[s.Stream]
		if st == nil {
			st = &stream{name: strings.Clone(s.Stream)}
			d.streams[st.name] = st
		}
		st.maxBacklog.Store(s.MaxBacklog)
		if s.MaxBacklog <= 0 {
			st.maxBacklog.Store(transport.DefaultMaxBacklog)
		}
		for _, g := range s.Groups {
			if !slices.Contains(st.groups, g) {
				st.groups = append(slices.Clone(st.groups), strings.Clone(g))
			}
		}
	}
	return nil
}

func (d *Driver) ensure(ctx context.Context, specs []transport.StreamSpec) error {
	topics := make([]topicSpec, len(specs))
	for i, s := range specs {
		topics[i] = topicSpec{name: s.Stream, partitions: d.set.partitions}
	}
	created, err := d.ensureTopics(ctx, topics)
	if err != nil {
		return opError("ensure", "", err)
	}
	for _, s := range created {
		d.event(transport.Event{Kind: transport.EventRecreated, Stream: s, N: 1})
	}
	// Each is three round trips; a process with many streams does not do them one after the other.
	var groups errgroup.Group
	groups.SetLimit(ensureAtOnce)
	for _, s := range specs {
		for _, g := range s.Groups {
			groups.Go(func() error {
				if err := d.ensureGroup(ctx, g, s.Stream); err != nil {
					return opError("ensure", s.Stream, err)
				}
				return nil
			})
		}
	}
	return groups.Wait()
}

// ensureGroup commits offset 0 for partitions that have no offset yet. While the group has members Kafka refuses that, and
// then it isn't needed.
func (d *Driver) ensureGroup(ctx context.Context, group, stream string) error {
	leaders, err := d.cl.leaders(ctx, stream)
	if err != nil {
		return err
	}
	id := groupID(group, stream)
	return d.cl.retryGroup(ctx, id, func() error {
		have, err := d.offsets(ctx, group, stream, len(leaders))
		if err != nil {
			return err
		}
		var missing []offsetcommit.RequestPartition
		for p, o := range have {
			if o.offset < 0 {
				missing = append(missing, offsetcommit.RequestPartition{PartitionIndex: p, CommittedLeaderEpoch: -1})
			}
		}
		if len(missing) == 0 {
			return nil
		}
		m, err := d.cl.group(ctx, id, d.set.timeout, &offsetcommit.Request{GroupID: id, GenerationID: -1, RetentionTimeMs: -1,
			Topics: []offsetcommit.RequestTopic{{Name: stream, Partitions: missing}}})
		if err != nil {
			return err
		}
		for _, t := range m.(*offsetcommit.Response).Topics {
			for _, p := range t.Partitions {
				if e := kafkaError(p.ErrorCode); e != nil && !isKafka(e, kafkago.UnknownMemberId, kafkago.RebalanceInProgress, kafkago.IllegalGeneration) {
					return e
				}
			}
		}
		return nil
	})
}

func checkStream(op, name string) error {
	if err := transport.CheckName(name); err != nil {
		return failMsg(transport.CodeInvalid, op, name, nameMsg(err))
	}
	if strings.HasPrefix(name, reserved+"lane.") || strings.HasPrefix(name, reserved+"shared.") || name == clockTopic || strings.HasPrefix(name, "__") {
		return failMsg(transport.CodeInvalid, op, name, fmt.Sprintf("names that begin with %s, %s or __ are taken; choose another", lanePrefix, sharePrefix))
	}
	return nil
}
