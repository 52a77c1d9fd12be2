package kafka

import (
	"context"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// cluster knows which broker has what. It believes what it knows until a broker says otherwise, and then asks at once: a topic
// that was just made is found by the next request.
type cluster struct {
	links *links
	set   *settings

	mu         sync.Mutex
	brokers    map[int32]string
	controller int32
	topics     map[string][]int32 // leaders by partition
	groups     map[string]int32   // coordinators

	away atomic.Pointer[absent]
}

// absent is a broker that refused a connection, and when.
type absent struct {
	id int32
	at time.Time
}

// avoidFor is how long messages that may go to any partition don't go to a broker that refused a connection. The controller takes
// broker.session.timeout.ms, 9 s by default, to give its partitions another leader.
const avoidFor = time.Second

func (c *cluster) avoid(id int32) { c.away.Store(&absent{id, time.Now()}) }

func (c *cluster) avoided(id int32) bool {
	a := c.away.Load()
	return a != nil && a.id == id && time.Since(a.at) < avoidFor
}

func newCluster(set *settings) *cluster {
	return &cluster{
		links: &links{set: set, idle: map[string][]*link{}, busy: map[*link]bool{}, short: map[string]chan struct{}{}}, set: set,
		brokers: map[int32]string{}, controller: -1, topics: map[string][]int32{}, groups: map[string]int32{},
	}
}

func (c *cluster) addr(id int32) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.brokers[id]
}

// size is how many brokers there were at the last look.
func (c *cluster) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.brokers)
}

// any sends to a broker that answers.
func (c *cluster) any(ctx context.Context, req protocol.Message) (res protocol.Message, err error) {
	c.mu.Lock()
	addrs := make([]string, 0, len(c.brokers)+len(c.set.addrs))
	for _, a := range c.brokers {
		addrs = append(addrs, a)
	}
	c.mu.Unlock()
	tried := map[string]bool{}
	for _, a := range append(addrs, c.set.addrs...) {
		if tried[a] {
			continue
		}
		tried[a] = true
		if res, err = c.links.roundTrip(ctx, a, c.set.timeout, req); err == nil || ctx.Err() != nil {
			return res, err
		}
	}
	return nil, err
}

// to sends to one broker.
func (c *cluster) to(ctx context.Context, id int32, limit time.Duration, req protocol.Message) (protocol.Message, error) {
	a := c.addr(id)
	if a == "" {
		return nil, kafkago.BrokerNotAvailable
	}
	return c.links.roundTrip(ctx, a, limit, req)
}

// talk is to for requests that are written and read here: see codec.go.
func (c *cluster) talk(ctx context.Context, id int32, limit time.Duration, do func(*link) error) (bool, error) {
	a := c.addr(id)
	if a == "" {
		return false, kafkago.BrokerNotAvailable
	}
	return c.links.talkShort(ctx, a, limit, do)
}

// refresh asks where topics are; nil means all there are. Those that don't exist are forgotten. It never makes a topic.
func (c *cluster) refresh(ctx context.Context, topics []string) (*metadata.Response, error) {
	m, err := c.any(ctx, &metadata.Request{TopicNames: topics})
	if err != nil {
		return nil, err
	}
	res := m.(*metadata.Response)
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.brokers)
	for _, b := range res.Brokers {
		c.brokers[b.NodeID] = net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
	}
	c.controller = res.ControllerID
	for _, t := range res.Topics {
		if t.ErrorCode != 0 || len(t.Partitions) == 0 {
			delete(c.topics, t.Name)
			continue
		}
		leaders := make([]int32, len(t.Partitions))
		for _, p := range t.Partitions {
			if int(p.PartitionIndex) < len(leaders) {
				leaders[p.PartitionIndex] = p.LeaderID
			}
		}
		c.topics[t.Name] = leaders
	}
	return res, nil
}

// leaders returns the leader of each partition of a topic; the slice is not to be changed.
func (c *cluster) leaders(ctx context.Context, topic string) ([]int32, error) {
	if l := c.knownLeaders(topic); l != nil {
		return l, nil
	}
	res, err := c.refresh(ctx, []string{topic})
	if err != nil {
		return nil, err
	}
	if l := c.knownLeaders(topic); l != nil {
		return l, nil
	}
	for _, t := range res.Topics {
		if t.Name == topic && t.ErrorCode != 0 {
			return nil, kafkago.Error(t.ErrorCode)
		}
	}
	return nil, kafkago.UnknownTopicOrPartition
}

func (c *cluster) knownLeaders(topic string) []int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.topics[topic]
}

// leader is −1 when it isn't known.
func (c *cluster) leader(t target) int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.topics[t.topic]; int(t.partition) < len(l) {
		return l[t.partition]
	}
	return -1
}

func (c *cluster) forget(topic string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.topics, topic)
}

// group sends to the group's coordinator. The caller looks at the answer's code and calls forgetGroup when it is misplaced.
func (c *cluster) group(ctx context.Context, id string, limit time.Duration, req protocol.Message) (protocol.Message, error) {
	c.mu.Lock()
	node, ok := c.groups[id]
	c.mu.Unlock()
	if !ok {
		m, err := c.any(ctx, &findcoordinator.Request{Key: id})
		if err != nil {
			return nil, err
		}
		res := m.(*findcoordinator.Response)
		if err := kafkaError(res.ErrorCode); err != nil {
			return nil, err
		}
		node = res.NodeID
		c.mu.Lock()
		c.groups[id], c.brokers[node] = node, net.JoinHostPort(res.Host, strconv.Itoa(int(res.Port)))
		c.mu.Unlock()
	}
	res, err := c.to(ctx, node, limit, req)
	if err != nil {
		c.forgetGroup(id)
	}
	return res, err
}

func (c *cluster) forgetGroup(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.groups, id)
}

// misplaced reports whether the group's coordinator is elsewhere or not ready: ask again soon.
func misplaced(err error) bool {
	return isKafka(err, kafkago.NotCoordinatorForGroup, kafkago.GroupCoordinatorNotAvailable, kafkago.GroupLoadInProgress)
}

// moved reports whether a partition's leader is elsewhere, or not known yet.
func moved(err error) bool {
	return isKafka(err, kafkago.NotLeaderForPartition, kafkago.LeaderNotAvailable, kafkago.UnknownTopicOrPartition, kafkago.FencedLeaderEpoch,
		kafkago.UnknownLeaderEpoch, kafkago.BrokerNotAvailable, kafkago.ReplicaNotAvailable, kafkago.KafkaStorageError)
}

// retryGroup calls do until its error is no longer that the coordinator is elsewhere or loading, or ctx ends.
func (c *cluster) retryGroup(ctx context.Context, id string, do func() error) error {
	for {
		err := do()
		if !misplaced(err) {
			return err
		}
		c.forgetGroup(id)
		if !sleep(ctx, 25*time.Millisecond) {
			return err
		}
	}
}

// sleep reports whether it slept to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
