package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/streamerson/streamerson/conformance"
	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/transport"
)

// testBroker is a broker that was started for a run of the suite, and what can be done to it.
type testBroker struct {
	url     string
	control conformance.Control
	stop    func()
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
	r, err := brokers.StartRedis(ctx, brokers.RedisConfig{AOF: "everysec", Own: true})
	if err != nil {
		return nil, err
	}
	return &testBroker{url: r.URL, stop: r.Stop, control: conformance.Control{
		Restart:    r.Restart,
		Kill:       func(context.Context) error { return r.Kill9() },
		Start:      r.Restart,
		StartEmpty: r.StartEmpty,
		Stop:       func(context.Context) error { return r.Pause() },
		Continue:   func(context.Context) error { return r.Resume() },
	}}, nil
}

// startTestNATS starts this program again as a nats-server, so that it can be killed.
func startTestNATS(ctx context.Context, core bool) (*testBroker, error) {
	n, err := brokers.StartNATSProcess(ctx, brokers.NATSConfig{NoJetStream: core})
	if err != nil {
		return nil, err
	}
	url := n.URL
	if core {
		url = "nats+core://" + n.Addr
	}
	return &testBroker{url: url, stop: n.Stop, control: conformance.Control{
		Restart: n.Restart,
		Kill:    func(context.Context) error { return n.Kill9() },
		Start:   n.Start,
	}}, nil
}

func startTestKafka(ctx context.Context) (*testBroker, error) {
	k, err := brokers.StartKafka(ctx, brokers.KafkaConfig{Own: true})
	if err != nil {
		return nil, err
	}
	// Few partitions: scenarios with 50 streams would otherwise make 400.
	return &testBroker{url: fmt.Sprintf("%s?partitions=%d", k.URL, testPartitions), stop: k.Stop, control: conformance.Control{
		Restart:  k.Restart,
		Kill:     func(context.Context) error { return k.Kill9() },
		Start:    k.Restart,
		Stop:     func(context.Context) error { return k.Pause() },
		Continue: func(context.Context) error { return k.Resume() },
	}}, nil
}

// testPartitions of a stream on the suite's own Kafka.
const testPartitions = 4
