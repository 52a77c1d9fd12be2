package kafka

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/heartbeat"
	"github.com/segmentio/kafka-go/protocol/joingroup"
	"github.com/segmentio/kafka-go/protocol/leavegroup"
	"github.com/segmentio/kafka-go/protocol/syncgroup"
)

const (
	// commitEvery is how often progress is committed when there is any.
	commitEvery = 50 * time.Millisecond
	// beatEvery is how often a member shows that it lives, and how soon it learns of a rebalance.
	beatEvery = 500 * time.Millisecond
	// pauseAway is how long a member waits after the coordinator didn't answer as it should.
	pauseAway = 100 * time.Millisecond
	// rebalanceTimeout is how long the coordinator waits for the members to come again.
	rebalanceTimeout = 6 * time.Second
)

// member is this process in Kafka's group for one stream of one group; all its consumers of the two share it.
//
// The client library's ConsumerGroup is not used: it forgets who it is when the coordinator is away, and the broker then
// waits a whole session for the one it was. Like its Generation, every commit here names member and generation, so that a
// commit of an old one is refused.
type member struct {
	d             *Driver
	group, stream string
	kafka         string // Kafka's name for the group
	ctx           context.Context
	cancel        context.CancelFunc
	done          chan struct{}

	// Only run uses these, but for commits.
	id         string
	generation atomic.Int32
	commits    sync.Mutex // one commit at a time, so that they can't overtake each other
	serial     int64
	lastBeat   time.Time

	mu        sync.Mutex
	parts     []*part
	active    bool // deliveries may go out
	consumers map[*consumer]bool
	turn      int
	failed    error // for the next Receive
}

func (d *Driver) newMember(group, stream string) *member {
	m := &member{d: d, group: group, stream: stream, kafka: groupID(group, stream), done: make(chan struct{}), consumers: map[*consumer]bool{}}
	m.ctx, m.cancel = context.WithCancel(d.bg)
	go m.run()
	return m
}

// run is the member's life: join, serve, and again after each rebalance.
func (m *member) run() {
	defer close(m.done)
	for pause := 25 * time.Millisecond; m.ctx.Err() == nil; {
		err := m.join()
		if err == nil {
			pause = 25 * time.Millisecond
			m.d.isUp()
			m.serve()
			continue
		}
		if m.ctx.Err() != nil {
			break
		}
		if !isKafka(err, kafkago.RebalanceInProgress, kafkago.MemberIDRequired, kafkago.UnknownMemberId) && !misplaced(err) {
			m.d.log.Warn("join "+m.kafka, "streamerson: can't join the Kafka group of a stream; trying again", "stream", m.stream, "group", m.group, "err", err)
			m.fail(err)
		}
		sleep(m.ctx, pause)
		pause = min(2*pause, 250*time.Millisecond)
	}
	m.leave()
}

// fail lets the next Receive of each consumer return err.
func (m *member) fail(err error) {
	m.mu.Lock()
	m.failed = err
	m.mu.Unlock()
	if err != nil {
		m.wake()
	}
}

func (m *member) wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.consumers {
		signal(c.ready)
	}
}

// owned lists the partitions.
func (m *member) owned() []int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]int32, len(m.parts))
	for i, p := range m.parts {
		out[i] = p.id
	}
	return out
}

// join goes through JoinGroup and SyncGroup and takes what it is given.
func (m *member) join() error {
	res, err := m.joinGroup()
	if err != nil {
		return err
	}
	sync := &syncgroup.Request{GroupID: m.kafka, GenerationID: res.GenerationID, MemberID: m.id}
	if res.LeaderID == m.id {
		if sync.Assignments, err = m.assignments(res.Members); err != nil {
			return err
		}
	}
	r, err := m.d.cl.group(m.ctx, m.kafka, m.d.set.timeout+rebalanceTimeout, sync)
	if err != nil {
		return err
	}
	s := r.(*syncgroup.Response)
	if err := m.check(s.ErrorCode); err != nil {
		return err
	}
	parts, err := parseAssignment(s.Assignments, m.stream)
	if err != nil {
		return err
	}
	m.generation.Store(res.GenerationID)
	m.lastBeat = time.Now()
	return m.adopt(parts)
}

func (m *member) joinGroup() (*joingroup.Response, error) {
	for {
		r, err := m.d.cl.group(m.ctx, m.kafka, m.d.set.timeout+rebalanceTimeout, &joingroup.Request{
			GroupID: m.kafka, MemberID: m.id, ProtocolType: "consumer",
			SessionTimeoutMS: int32(m.d.set.session.Milliseconds()), RebalanceTimeoutMS: int32(rebalanceTimeout.Milliseconds()), //nolint:gosec // seconds
			Protocols: []joingroup.RequestProtocol{{Name: protocolName, Metadata: subscription(m.stream, m.owned())}},
		})
		if err != nil {
			return nil, err
		}
		res := r.(*joingroup.Response)
		if isKafka(kafkaError(res.ErrorCode), kafkago.MemberIDRequired) {
			m.id = res.MemberID // the broker wants to know who asks before it lets anybody in
			continue
		}
		if err := m.check(res.ErrorCode); err != nil {
			return nil, err
		}
		m.id = res.MemberID
		return res, nil
	}
}

// check is the error of a coordinator's answer, having drawn the consequences.
func (m *member) check(code int16) error {
	err := kafkaError(code)
	switch {
	case err == nil:
	case isKafka(err, kafkago.UnknownMemberId):
		m.id = ""
	case misplaced(err):
		m.d.cl.forgetGroup(m.kafka)
	}
	return err
}

func (m *member) assignments(members []joingroup.ResponseMember) ([]syncgroup.RequestAssignment, error) {
	leaders, err := m.d.cl.leaders(m.ctx, m.stream)
	if err != nil {
		return nil, err
	}
	claims := make([]claim, len(members))
	for i, x := range members {
		owned, err := parseSubscription(x.Metadata)
		if err != nil {
			return nil, err
		}
		claims[i] = claim{x.MemberID, owned}
	}
	shares := assign(claims, int32(len(leaders))) //nolint:gosec // at most thousands
	out := make([]syncgroup.RequestAssignment, 0, len(claims))
	for _, c := range claims {
		out = append(out, syncgroup.RequestAssignment{MemberID: c.id, Assignment: assignment(m.stream, shares[c.id])})
	}
	return out, nil
}

// adopt compares what it was given with what it had. A partition that nobody else has committed for since keeps its state and
// its running deliveries; of all others the committed progress counts, and old deliveries are stale.
func (m *member) adopt(ids []int32) error {
	have, err := m.d.offsets(m.ctx, m.group, m.stream, -1, ids...)
	if err != nil {
		return err
	}
	m.mu.Lock()
	old := m.parts
	m.parts = nil
	for _, id := range ids {
		o := have[id]
		i := slices.IndexFunc(old, func(p *part) bool { return p.id == id })
		if i >= 0 && slices.Contains(old[i].sent, o) {
			m.parts = append(m.parts, old[i])
			continue
		}
		m.parts = append(m.parts, newPart(m, id, max(o.offset, 0), o.metadata))
	}
	for _, p := range old {
		p.lost = !slices.Contains(m.parts, p)
	}
	m.mu.Unlock()
	// The claim: from now on earlier owners see that somebody else has had the partition.
	if err := m.commit(m.ctx, true); err != nil {
		return err
	}
	m.setActive(true)
	return nil
}

func (m *member) setActive(on bool) {
	m.mu.Lock()
	m.active = on
	m.kick()
	m.mu.Unlock()
	if on {
		m.wake()
	}
}

// serve commits and beats until the generation ends.
func (m *member) serve() {
	commits, beats := time.NewTicker(commitEvery), time.NewTicker(beatEvery)
	defer commits.Stop()
	defer beats.Stop()
	for {
		var err error
		select {
		case <-m.ctx.Done():
			return
		case <-commits.C:
			err = m.commit(m.ctx, false)
		case <-beats.C:
			err = m.beat()
		}
		switch {
		case err == nil:
		case m.ended(err):
			return
		default:
			sleep(m.ctx, pauseAway)
		}
	}
}

// ended deals with what a commit or beat brought, and reports whether to join again.
func (m *member) ended(err error) bool {
	switch {
	case isKafka(err, kafkago.RebalanceInProgress):
		m.drain()
		return true
	case isKafka(err, kafkago.UnknownMemberId, kafkago.IllegalGeneration):
		// Others may have the partitions by now; adopt finds out.
		m.setActive(false)
		return true
	}
	// The coordinator is away or elsewhere. Past the session others may have the partitions: nothing more goes out until a
	// beat says that they don't.
	if time.Since(m.lastBeat) > m.d.set.session-beatEvery {
		m.setActive(false)
	}
	return false
}

func (m *member) beat() error {
	r, err := m.d.cl.group(m.ctx, m.kafka, m.d.set.timeout, &heartbeat.Request{GroupID: m.kafka, GenerationID: m.generation.Load(), MemberID: m.id})
	if err != nil {
		return err
	}
	if err := m.check(r.(*heartbeat.Response).ErrorCode); err != nil {
		return err
	}
	m.lastBeat = time.Now()
	m.mu.Lock()
	paused := !m.active
	m.mu.Unlock()
	if paused {
		m.setActive(true)
	}
	return nil
}

// drain waits for running deliveries before a rebalance, so that a partition that moves takes none with it.
func (m *member) drain() {
	m.setActive(false)
	deadline := time.Now().Add(m.d.set.drain)
	for time.Now().Before(deadline) && m.heldNow() > 0 && sleep(m.ctx, 5*time.Millisecond) {
	}
	_ = m.commit(m.ctx, false) // if it fails, adopt sees what is committed
}

func (m *member) heldNow() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.parts {
		n += len(p.held)
	}
	return n
}

// leave commits what was settled and leaves the group, so that others needn't wait for the session's end.
func (m *member) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), m.d.set.timeout)
	defer cancel()
	m.setActive(false)
	if m.id == "" {
		return
	}
	if m.generation.Load() > 0 {
		if err := m.commit(ctx, false); err != nil {
			m.d.log.Warn("leave "+m.kafka, "streamerson: the last progress of a stream could not be committed: some requests will be delivered again", "stream", m.stream, "err", err)
		}
	}
	_, _ = m.d.cl.group(ctx, m.kafka, m.d.set.timeout, &leavegroup.Request{GroupID: m.kafka, MemberID: m.id}) // the session's end does the same
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.parts {
		p.lost = true
	}
	m.parts = nil
}
