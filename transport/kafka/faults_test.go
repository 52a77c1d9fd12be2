package kafka

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/transport"
)

func TestCredentials(t *testing.T) {
	k := ours(t)
	for _, m := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		d, err := openURL(within(t, 3*loaded), k.URL+"?dial_timeout=5s&sasl="+m, transport.Options{})
		if err != nil {
			t.Errorf("%s: %v", m, err)
			continue
		}
		_ = d.Close(t.Context())
		_, err = openURL(within(t, 3*loaded), "kafka://app:hunter2@"+k.Addr+"?dial_timeout=5s&sasl="+m, transport.Options{})
		if !transport.IsCode(err, transport.CodeUnauthenticated) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s with a wrong password: %v", m, err)
		}
	}
}

func TestTLS(t *testing.T) {
	k := ours(t)
	d, err := openURL(within(t, 3*loaded), "kafkas://"+k.TLSAddr+"?dial_timeout=5s&tls_ca="+pemFile, transport.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close(t.Context()) }()
	s := newStream(t, d.(*Driver))
	send(t, d.(*Driver), s, "x")
	c := join(t, d.(*Driver))
	ack(t, c, receive(t, c, 2*loaded, 1, s)...)
	_, err = openURL(within(t, 3*loaded), "kafkas://"+k.TLSAddr+"?dial_timeout=5s", transport.Options{})
	if !transport.IsCode(err, transport.CodeUnavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("with a certificate that nobody vouches for: %v", err)
	}
}

func TestUnreachableBroker(t *testing.T) {
	port, err := brokers.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_, err = openURL(within(t, 3*loaded), fmt.Sprintf("kafka://127.0.0.1:%d", port), transport.Options{})
	if !transport.IsCode(err, transport.CodeUnavailable) || time.Since(start) > 2*time.Second+loaded {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
}

// A commit of a generation that has ended must not move an offset: kafka-go's Reader once moved one back.
func TestOldGenerationCannotCommit(t *testing.T) {
	d := open(t, transport.Options{})
	s := newStream(t, d)
	c := join(t, d)
	send(t, d, s, "a")
	ack(t, c, receive(t, c, 2*loaded, 1, s)...)
	d.mu.RLock()
	m := d.members[groupID(group, s)]
	d.mu.RUnlock()
	if err := m.commit(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	before, err := d.offsets(t.Context(), group, s, 8)
	if err != nil {
		t.Fatal(err)
	}
	// The driver's own commit, as it would be had the member not heard of the new generation.
	old := &member{d: d, group: m.group, stream: m.stream, kafka: m.kafka, id: m.id}
	old.generation.Store(m.generation.Load() - 1)
	p := newPart(old, m.owned()[0], 6, "")
	old.parts = []*part{p}
	if err := old.commit(t.Context(), true); !isKafka(err, kafkago.IllegalGeneration) {
		t.Errorf("a commit of the generation before: %v", err)
	}
	after, err := d.offsets(t.Context(), group, s, 8)
	if err != nil || after[p.id].offset != before[p.id].offset {
		t.Errorf("offset %d became %d, %v", before[p.id].offset, after[p.id].offset, err)
	}
}

// After a crash the survivor has everything within 8 s: with a higher attempt what the dead one held, and nothing of what it
// had acked, though that was above what it held.
func TestTakeoverAfterACrash(t *testing.T) {
	d1, d2 := open(t, transport.Options{}), open(t, transport.Options{})
	s := newStream(t, d1)
	c1 := join(t, d1)
	r := make([]transport.Result, 6)
	var msgs []transport.Message
	for i := range r {
		msgs = append(msgs, transport.Message{Stream: s, Key: "one", Body: fmt.Append(nil, i)})
	}
	if d1.Publish(t.Context(), msgs, r); r[5].Err != nil {
		t.Fatal(r[5].Err)
	}
	got := receive(t, c1, 2*loaded, 4, s)
	ack(t, c1, got[1], got[3])
	time.Sleep(4 * commitEvery)
	crash(d1)
	start := time.Now()
	c2 := join(t, d2)
	if err := d2.Ensure(t.Context(), []transport.StreamSpec{{Stream: s, Groups: []string{group}}}); err != nil {
		t.Fatal(err)
	}
	rest := receive(t, c2, 8*time.Second+2*loaded, 4, s)
	took := time.Since(start)
	t.Logf("the takeover took %v", took)
	if took > 8*time.Second+loaded {
		t.Errorf("the takeover took %v", took)
	}
	for _, x := range rest {
		want := map[string]int{"0": 2, "2": 2, "4": 1, "5": 1}[string(x.Body)]
		if x.Attempt != want {
			t.Errorf("message %s came with attempt %d, want %d", x.Body, x.Attempt, want)
		}
	}
	ack(t, c2, rest...)
}

// Members come and go while messages flow: none is lost, and as handlers are quicker than the drain, none comes twice.
func TestRebalancesLoseNothing(t *testing.T) {
	const n = 600
	patient := *shared
	patient.URL += "?drain=5s" // a busy machine may hold up a handler for a second
	d := openOn(t, &patient, transport.Options{})
	s := newStream(t, d)
	var mu sync.Mutex
	got := map[string]int{}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	work := func(d *Driver, until <-chan struct{}) {
		c := join(t, d)
		defer func() { _ = c.Close(t.Context()) }()
		for {
			select {
			case <-until:
				return
			default:
			}
			ctx := within(t, 100*time.Millisecond)
			ds, _ := c.Receive(ctx, 8, []transport.Credit{{Stream: s, Max: 8}})
			for i := range ds {
				errs := make([]error, 1)
				c.Settle(t.Context(), []transport.Settlement{{Delivery: &ds[i], Verb: transport.Ack}}, errs)
				mu.Lock()
				got[string(ds[i].Body)]++
				mu.Unlock()
			}
		}
	}
	wg.Go(func() { work(d, stop) })
	wg.Go(func() {
		for range 4 {
			other := openOn(t, &patient, transport.Options{})
			leave := make(chan struct{})
			time.AfterFunc(time.Second, func() { close(leave) })
			work(other, leave)
		}
	})
	for i := range n {
		send(t, d, s, fmt.Sprint(i))
		time.Sleep(5 * time.Millisecond)
	}
	deadline := time.Now().Add(3 * loaded)
	for {
		mu.Lock()
		have := len(got)
		mu.Unlock()
		if have == n || time.Now().After(deadline) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	close(stop)
	wg.Wait()
	twice := 0
	for _, k := range got {
		twice += k - 1
	}
	if len(got) != n || twice > 0 {
		t.Errorf("%d of %d messages came, %d of them again", len(got), n, twice)
	}
}

// While the broker is dead a publish is refused at once and for certain; after kill -9 nothing accepted is lost and service is
// back within 2 s of the port, without a rebalance and with the deliveries still held.
func TestBrokerKilled(t *testing.T) {
	k := ours(t)
	d := openOn(t, k, transport.Options{})
	s := newStream(t, d)
	c := join(t, d)
	var want []string
	for i := range 40 {
		want = append(want, fmt.Sprint("m", i))
	}
	send(t, d, s, want...)
	held := receive(t, c, 2*loaded, 10, s)
	time.Sleep(4 * commitEvery)
	if err := k.Kill9(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		start := time.Now()
		r := make([]transport.Result, 1)
		d.Publish(within(t, 3*loaded), []transport.Message{{Stream: s, Body: []byte("x")}}, r)
		if r[0].Outcome != transport.OutcomeRejected || !transport.IsCode(r[0].Err, transport.CodeUnavailable) || time.Since(start) > time.Second+loaded {
			t.Errorf("with the broker dead: %v after %v: %v", r[0].Outcome, time.Since(start), r[0].Err)
		}
	}
	if err := k.Restart(within(t, 60*time.Second)); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	for {
		r := make([]transport.Result, 1)
		if d.Publish(within(t, 3*loaded), []transport.Message{{Stream: s, Body: []byte("late")}}, r); r[0].Err == nil {
			break
		}
		if time.Since(back) > 2*time.Second+loaded {
			t.Fatal(r[0].Err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	rest := receive(t, c, 2*loaded, 31, s)
	t.Logf("back %v after the port answers", time.Since(back))
	ack(t, c, held...)
	ack(t, c, rest...)
	var got []string
	for _, x := range append(held, rest...) {
		got = append(got, string(x.Body))
	}
	want = append(want, "late")
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A broker that is stopped, with its connections open: what was sent to it is unknown, what found no idle connection is refused,
// both in bounded time; and it goes on after.
func TestBrokerPaused(t *testing.T) {
	k := ours(t)
	d := openOn(t, k, transport.Options{})
	s := newStream(t, d)
	send(t, d, s, "before")
	if err := k.Pause(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // the signal reaches the last of its threads a little later
	r := make([]transport.Result, 1)
	start := time.Now()
	d.Publish(within(t, 3*loaded), []transport.Message{{Stream: s, Body: []byte("x")}}, r)
	took := time.Since(start)
	if err := k.Resume(); err != nil {
		t.Fatal(err)
	}
	if r[0].Outcome == transport.OutcomeAccepted || took > 4*time.Second+loaded {
		t.Errorf("with the broker stopped: %v after %v: %v", r[0].Outcome, took, r[0].Err)
	}
	// The broker may count itself out for a moment.
	deadline := time.Now().Add(3 * loaded)
	for {
		if d.Publish(within(t, 3*loaded), []transport.Message{{Stream: s, Body: []byte("after")}}, r); r[0].Err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(r[0].Err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// The lane of a dead owner is deleted once its end hasn't moved for long; the lane of a live one is not.
func TestLanesOfTheDeadAreReaped(t *testing.T) {
	d1, d2 := open(t, transport.Options{}), open(t, transport.Options{})
	dead, err := d1.Tail(t.Context(), transport.TailSpec{Name: "dead"})
	if err != nil {
		t.Fatal(err)
	}
	live, err := d2.Tail(t.Context(), transport.TailSpec{Name: "live"})
	if err != nil {
		t.Fatal(err)
	}
	crash(d1)
	watcher := open(t, transport.Options{})
	seen := map[string]laneSeen{}
	watcher.reap(seen)
	if err := d2.mark(t.Context(), live.(*tailer).topic); err != nil {
		t.Fatal(err)
	}
	for topic, x := range seen {
		seen[topic] = laneSeen{x.end, x.since.Add(-2 * laneTTL)}
	}
	watcher.reap(seen)
	r := make([]transport.Result, 2)
	watcher.Publish(t.Context(), []transport.Message{{Stream: dead.Address(), Lane: true}, {Stream: live.Address(), Lane: true}}, r)
	if !transport.IsCode(r[0].Err, transport.CodeNotFound) || r[1].Err != nil {
		t.Errorf("dead owner: %v; live owner: %v", r[0].Err, r[1].Err)
	}
}

// A member that has nothing to commit learns of a rebalance by its beat alone. The client library's form of the answer once hid
// that: the first kept all partitions, and went on with them after the group had thrown it out.
func TestIdleGroupShares(t *testing.T) {
	d1, d2 := open(t, transport.Options{}), open(t, transport.Options{})
	s := newStream(t, d1)
	owned := func(d *Driver) int {
		d.mu.RLock()
		defer d.mu.RUnlock()
		if m := d.members[groupID(group, s)]; m != nil {
			return len(m.owned())
		}
		return 0
	}
	for i, d := range []*Driver{d1, d2} {
		c := join(t, d)
		ctx := within(t, 100*time.Millisecond)
		if _, err := c.Receive(ctx, 1, []transport.Credit{{Stream: s}}); err == nil || ctx.Err() == nil {
			t.Fatalf("receive: %v", err)
		}
		for deadline := time.Now().Add(3 * loaded); owned(d) != 8/(i+1) || owned(d1) != 8/(i+1); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("with %d members of an idle group they own %d and %d of 8 partitions", i+1, owned(d1), owned(d2))
			}
		}
	}
}

// Connections don't grow with the streams: one process serves 32 and has two lanes, with messages for all, on six connections at most.
func TestConnectionsDoNotGrowWithStreams(t *testing.T) {
	few := *shared
	few.URL += "?partitions=2"
	d := openOn(t, &few, transport.Options{})
	var credits []transport.Credit
	var specs []transport.StreamSpec
	for range 32 {
		s := "t" + newID()
		specs = append(specs, transport.StreamSpec{Stream: s, Groups: []string{group}})
		credits = append(credits, transport.Credit{Stream: s, Max: 8})
	}
	if err := d.Ensure(within(t, 6*loaded), specs); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := d.Tail(within(t, 3*loaded), transport.TailSpec{}); err != nil {
			t.Fatal(err)
		}
	}
	c := join(t, d)
	count := func() int {
		d.cl.links.mu.Lock()
		defer d.cl.links.mu.Unlock()
		n := len(d.cl.links.busy)
		for _, idle := range d.cl.links.idle {
			n += len(idle)
		}
		return n
	}
	most, got := 0, 0
	steady := time.Now().Add(6 * loaded) // until the joins' connections are gone
	for deadline := steady.Add(3 * time.Second); time.Now().Before(deadline); {
		for _, s := range specs {
			send(t, d, s.Stream, "x")
		}
		ctx := within(t, 3*loaded)
		for n := 0; n < len(specs); {
			ds, err := c.Receive(ctx, 32, credits)
			if err != nil {
				t.Fatalf("%d of %d: %v", n, len(specs), err)
			}
			ack(t, c, ds...)
			n += len(ds)
		}
		got += len(specs)
		switch n := count(); {
		case time.Now().After(steady):
			most = max(most, n)
		case n <= slots+shortAtOnce:
			steady = time.Now()
			deadline = steady.Add(3 * time.Second)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("%d messages; at most %d connections", got, most)
	if most > slots+shortAtOnce || most == 0 {
		t.Errorf("%d connections for 32 streams", most)
	}
}
