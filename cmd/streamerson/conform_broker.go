package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/streamerson/streamerson/conformance"
	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/transport"
)

// testBroker is a broker that was started for a run of the suite, and what can be done to it.
type testBroker struct {
	url     string
	addr    string
	control conformance.Control
	// via is the URL that leads to the broker through another address.
	via  func(addr string) string
	stop func()
	// takeover is Harness.Takeover: how long the broker takes to find out that a worker is dead; 0 means by its lease.
	takeover time.Duration
}

var testBrokers = map[string]func(context.Context) (*testBroker, error){
	"mem":       startTestMem,
	"redis":     startTestRedis,
	"nats":      func(ctx context.Context) (*testBroker, error) { return startTestNATS(ctx, false) },
	"nats+core": func(ctx context.Context) (*testBroker, error) { return startTestNATS(ctx, true) },
	"kafka":     startTestKafka,
}

// conformChild never returns when `conform` started this process: as a nats-server, or as a worker or caller of a scenario.
func conformChild() {
	brokers.ServeNATSChild()
	registerDrivers()
	conformance.ServeChild(openQuietly)
}

func openQuietly(ctx context.Context, rawURL string) (transport.Driver, error) {
	return transport.Default.Open(ctx, rawURL, transport.Options{Logger: quietLogger})
}

func testBrokerNames() []string { return slices.Sorted(maps.Keys(testBrokers)) }

func startTestBroker(ctx context.Context, name string) (*testBroker, error) {
	start, ok := testBrokers[name]
	if !ok {
		return nil, usageError(notThere("--broker", "broker", name, testBrokerNames(), "there are "+strings.Join(testBrokerNames(), ", ")))
	}
	return start(ctx)
}

func startTestMem(context.Context) (*testBroker, error) {
	return &testBroker{url: "mem://conform", stop: func() {}}, nil
}

func startTestRedis(ctx context.Context) (*testBroker, error) {
	r, err := brokers.StartRedis(ctx, brokers.RedisConfig{AOF: "everysec"})
	if err != nil {
		return nil, err
	}
	t := controlled(r.URL, &r.Broker, r.Wipe)
	if r.Controllable() {
		t.control.SmallDisk, t.control.Fill, t.control.Relieve = redisOnDisk, r.Fill, r.Relieve
		t.control.DeleteGroup, t.control.DeleteConsumers = r.DeleteGroup, r.DeleteConsumers
	}
	return t, nil
}

// testStore bounds what JetStream stores, in bytes: the suite fills it.
const testStore = 64 << 20

// startTestNATS starts this program again as a nats-server, so that it can be killed.
func startTestNATS(ctx context.Context, core bool) (*testBroker, error) {
	n, err := brokers.StartNATSProcess(ctx, brokers.NATSConfig{NoJetStream: core, MaxStore: testStore})
	if err != nil {
		return nil, err
	}
	if core {
		// It stores nothing but its clients' subscriptions, which end with their connections.
		return controlled("nats+core://"+n.Addr, &n.Broker, n.Restart), nil
	}
	t := controlled(n.URL, &n.Broker, n.Wipe)
	if n.Controllable() {
		t.control.SmallDisk, t.control.Fill, t.control.Relieve, t.control.DeleteGroup = natsOnDisk, n.Fill, n.Relieve, n.DeleteGroup
	}
	return t, nil
}

// testPartitions of a stream on the suite's own Kafka are few: scenarios with 50 streams would otherwise make 400.
const testPartitions = 4

func startTestKafka(ctx context.Context) (*testBroker, error) {
	k, err := brokers.StartKafka(ctx, brokers.KafkaConfig{})
	if err != nil {
		return nil, err
	}
	b := controlled(fmt.Sprintf("%s?partitions=%d", k.URL, testPartitions), &k.Broker, k.Wipe)
	b.takeover = kafkaTakeover
	if k.Controllable() {
		b.control.SmallDisk = kafkaOnDisk
	}
	// Kafka's clients connect to the address that the broker tells them.
	b.via = func(addr string) string { return b.url + "&dial_timeout=3s&via=" + addr }
	return b, nil
}

// kafkaTakeover is Kafka's session, by which it finds out that a member is dead, and 2 s.
const kafkaTakeover = 8 * time.Second

// controlled hands a broker's verbs to the suite, unless it runs elsewhere and is somebody's.
func controlled(url string, b *brokers.Broker, wipe func(context.Context) error) *testBroker {
	t := &testBroker{url: url, addr: b.Addr, stop: b.Stop, via: func(addr string) string { return conformance.ViaHost(url, addr) }}
	if b.Controllable() {
		t.control = conformance.Control{
			Wipe:       wipe,
			Restart:    b.Restart,
			Kill:       func(context.Context) error { return b.Kill9() },
			Start:      b.Start,
			StartEmpty: b.StartEmpty,
			Stop:       func(context.Context) error { return b.Pause() },
			Continue:   func(context.Context) error { return b.Resume() },
		}
	}
	return t
}
