package kafka

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/alterpartitionreassignments"
	"github.com/segmentio/kafka-go/protocol/electleaders"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/transport"
)

// moveLimit bounds how long no reply may come after a leader has gone: the controller takes 2 s to notice, an answer that is on
// its way counts as lost after 2 s more, and a coordinator that moved has to load its groups.
const moveLimit = 10*time.Second + 3*loaded

// enough replies after a leader has gone show that calls go on.
const enough = 50

// traffic is a client that goes on asking, and two workers that answer by its lane.
type traffic struct {
	d      *Driver
	stream string
	lane   transport.Tailer

	mu       sync.Mutex
	accepted map[string]bool
	outcomes map[transport.Outcome]int
	replied  map[string]int
	count    atomic.Int64 // distinct replies
	downs    atomic.Int64
	stop     context.CancelFunc
	asking   context.CancelFunc
	wg, ask  sync.WaitGroup
}

func startTraffic(t *testing.T, url string) *traffic {
	x := &traffic{accepted: map[string]bool{}, outcomes: map[transport.Outcome]int{}, replied: map[string]int{}}
	open := func() *Driver {
		d, err := openURL(within(t, 3*loaded), url, transport.Options{OnEvent: func(e transport.Event) {
			if e.Kind == transport.EventDisconnected {
				x.downs.Add(1)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close(context.Background()) })
		return d.(*Driver)
	}
	x.d = open()
	x.stream = "t" + newID()
	var lane transport.Tailer
	for deadline := time.Now().Add(6 * loaded); ; { // three JVMs that have just begun may take longer than a call may
		err := x.d.Ensure(t.Context(), []transport.StreamSpec{{Stream: x.stream, Groups: []string{group}}})
		if err == nil {
			lane, err = x.d.Tail(t.Context(), transport.TailSpec{Name: "client"})
		}
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	x.lane = lane
	ctx, stop := context.WithCancel(context.Background())
	asking, endAsking := context.WithCancel(ctx)
	x.stop, x.asking = stop, endAsking
	for range 2 {
		c := join(t, open())
		x.wg.Go(func() { x.work(ctx, c) })
	}
	for k := range 4 {
		x.ask.Go(func() { x.publish(asking, k) })
	}
	x.wg.Go(func() {
		for ctx.Err() == nil {
			bodies, _ := lane.Receive(ctx, 100)
			x.mu.Lock()
			for _, b := range bodies {
				if x.replied[string(b)]++; x.replied[string(b)] == 1 {
					x.count.Add(1)
				}
			}
			x.mu.Unlock()
		}
	})
	t.Cleanup(func() { stop(); x.ask.Wait(); x.wg.Wait() })
	return x
}

func (x *traffic) publish(ctx context.Context, k int) {
	r := make([]transport.Result, 1)
	for i := 0; ctx.Err() == nil; i++ {
		body := fmt.Sprintf("%d-%d", k, i)
		x.d.Publish(context.Background(), []transport.Message{{Stream: x.stream, Body: []byte(body)}}, r)
		x.mu.Lock()
		x.outcomes[r[0].Outcome]++
		if r[0].Outcome == transport.OutcomeAccepted {
			x.accepted[body] = true
		}
		x.mu.Unlock()
		sleep(ctx, 5*time.Millisecond)
	}
}

// work settles as rpc does: again, until the settlement is taken or the delivery is another's.
func (x *traffic) work(ctx context.Context, c transport.Consumer) {
	for ctx.Err() == nil {
		ds, _ := c.Receive(ctx, 32, []transport.Credit{{Stream: x.stream, Max: 32}})
		for len(ds) > 0 {
			items, errs := make([]transport.Settlement, len(ds)), make([]error, len(ds))
			for i := range ds {
				items[i] = transport.Settlement{Delivery: &ds[i], Verb: transport.Ack, Reply: &transport.Message{Stream: x.lane.Address(), Lane: true, Body: ds[i].Body}}
			}
			c.Settle(context.Background(), items, errs)
			var again []transport.Delivery
			for i, err := range errs {
				if err != nil && !transport.IsCode(err, transport.CodeStale) {
					again = append(again, ds[i])
				}
			}
			if ds = again; len(ds) > 0 && !sleep(ctx, 20*time.Millisecond) {
				return
			}
		}
	}
}

// goesOn waits for replies to requests that are made from now on, and for all that was accepted before.
func (x *traffic) goesOn(t *testing.T, after string) {
	t.Helper()
	start := time.Now()
	x.mu.Lock()
	due := slices.Collect(maps.Keys(x.accepted))
	x.mu.Unlock()
	want := x.count.Load() + enough
	for x.count.Load() < want || x.missing(due) > 0 {
		if time.Since(start) > moveLimit {
			t.Fatalf("%v after %s %d replies came, and %d of %d accepted requests wait for theirs", moveLimit, after, x.count.Load()-want+enough, x.missing(due), len(due))
		}
		time.Sleep(10 * time.Millisecond)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	t.Logf("%s: went on within %v; outcomes so far %v", after, time.Since(start).Round(time.Millisecond), x.outcomes)
}

func (x *traffic) missing(due []string) (n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, b := range due {
		if x.replied[b] == 0 {
			n++
		}
	}
	return n
}

// leaderOf asks the cluster, not the driver's memory. It waits until a partition has all its copies.
func leaderOf(t *testing.T, c *cluster, topic string, partition int32) int32 {
	t.Helper()
	for deadline := time.Now().Add(6 * loaded); ; time.Sleep(50 * time.Millisecond) {
		res, err := c.refresh(t.Context(), []string{topic})
		if err == nil && len(res.Topics) == 1 {
			for _, p := range res.Topics[0].Partitions {
				if p.PartitionIndex == partition && p.LeaderID > 0 && len(p.IsrNodes) == len(p.ReplicaNodes) {
					return p.LeaderID
				}
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s/%d doesn't get all its copies: %v", topic, partition, err)
		}
	}
}

// In a cluster of three the leaders of the lane and of request partitions, and then the group's coordinator, die under load; then the
// request partitions' leaders move while all brokers live. What was accepted is answered, and calls go on.
func TestLeadersMove(t *testing.T) {
	ks, err := brokers.StartKafkaCluster(within(t, 3*time.Minute), 3, brokers.KafkaConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, k := range ks {
			k.Stop()
		}
	})
	x := startTraffic(t, ks[0].URL+"?partitions=6&replication=2")
	look := newCluster(x.d.set)
	t.Cleanup(look.links.close)
	lane := x.lane.(*tailer).topic
	x.goesOn(t, "the start")

	kill := func(id int32, what string) {
		t.Helper()
		for _, topic := range []string{lane, x.stream} { // so that the other copy has what was accepted
			leaderOf(t, look, topic, 0)
		}
		if err := ks[id-1].Kill9(); err != nil {
			t.Fatal(err)
		}
		x.goesOn(t, "the death of "+what)
		if err := ks[id-1].Start(within(t, 2*time.Minute)); err != nil {
			t.Fatal(err)
		}
		for p := range int32(6) {
			leaderOf(t, look, x.stream, p)
		}
		leaderOf(t, look, lane, 0)
	}
	kill(leaderOf(t, look, lane, 0), "the lane's leader")
	kill(coordinatorOf(t, look, groupID(group, x.stream)), "the group's coordinator")
	x.moveAll(t, look)
	x.goesOn(t, "the moves of all request partitions")

	x.asking()
	x.ask.Wait()
	x.mu.Lock()
	due := slices.Collect(maps.Keys(x.accepted))
	x.mu.Unlock()
	for deadline := time.Now().Add(moveLimit); x.missing(due) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d accepted requests were never answered", x.missing(due), len(due))
		}
	}
	if n := x.downs.Load(); n > 6 { // three drivers, and two deaths that may have made the others slow
		t.Errorf("a cluster of which two of three live was reported as down %d times", n)
	}
	for body := range x.replied {
		var k, i int
		if n, err := fmt.Sscanf(body, "%d-%d", &k, &i); n != 2 || err != nil {
			t.Errorf("a reply that nobody gave: %q", body)
		}
	}
}

func coordinatorOf(t *testing.T, c *cluster, id string) int32 {
	t.Helper()
	for deadline := time.Now().Add(6 * loaded); ; time.Sleep(50 * time.Millisecond) {
		m, err := c.any(t.Context(), &findcoordinator.Request{Key: id})
		if err == nil && m.(*findcoordinator.Response).ErrorCode == 0 {
			return m.(*findcoordinator.Response).NodeID
		}
		if time.Now().After(deadline) {
			t.Fatalf("no coordinator: %v", err)
		}
	}
}

// moveAll gives each request partition to its other copy: the reassignment lists it first, and an election makes it the leader.
func (x *traffic) moveAll(t *testing.T, look *cluster) {
	t.Helper()
	res, err := look.refresh(t.Context(), []string{x.stream})
	if err != nil {
		t.Fatal(err)
	}
	re := alterpartitionreassignments.RequestTopic{Name: x.stream}
	elect := electleaders.RequestTopicPartitions{Topic: x.stream}
	want := map[int32]int32{}
	for _, p := range res.Topics[0].Partitions {
		others := slices.DeleteFunc(slices.Clone(p.ReplicaNodes), func(id int32) bool { return id == p.LeaderID })
		want[p.PartitionIndex] = others[0]
		re.Partitions = append(re.Partitions, alterpartitionreassignments.RequestPartition{PartitionIndex: p.PartitionIndex, Replicas: append(others, p.LeaderID)})
		elect.PartitionIDs = append(elect.PartitionIDs, p.PartitionIndex)
	}
	for deadline := time.Now().Add(6 * loaded); len(want) > 0; time.Sleep(100 * time.Millisecond) {
		m, err := look.to(t.Context(), res.ControllerID, loaded, &alterpartitionreassignments.Request{TimeoutMs: 5000, Topics: []alterpartitionreassignments.RequestTopic{re}})
		var e protocol.Message
		if err == nil {
			e, err = look.to(t.Context(), res.ControllerID, loaded, &electleaders.Request{TimeoutMs: 5000, TopicPartitions: []electleaders.RequestTopicPartitions{elect}})
		}
		for p, id := range want {
			if leaderOf(t, look, x.stream, p) == id {
				delete(want, p)
			}
		}
		if len(want) > 0 && time.Now().After(deadline) {
			t.Fatalf("the leaders of %v don't move: %v, %+v, %+v", want, err, m, e)
		}
	}
}
