package brokers

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// StartKafkaCluster starts n Kafkas on loopback that are one cluster: each is broker and controller, with 300 MB of heap. Topics have
// two copies, of which one is enough, Kafka's own as well. They always are processes of this machine. To have one of them back
// after Kill9, call its Start: more than half of them have to run, or none becomes ready.
func StartKafkaCluster(ctx context.Context, n int, cfg KafkaConfig) ([]*Kafka, error) {
	java, err := kafkaJava()
	if err != nil {
		return nil, err
	}
	jars, err := InstallKafka(ctx, cfg.Version)
	if err != nil {
		return nil, err
	}
	var all []*Kafka
	err = startOnFreePorts(ctx, func() error {
		all, err = startKafkaCluster(ctx, n, cfg, java, jars)
		return err
	})
	return all, err
}

func startKafkaCluster(ctx context.Context, n int, cfg KafkaConfig, java, jars string) (all []*Kafka, err error) {
	voters := make([]string, n)
	urls := make([]string, n)
	for i := range n {
		k := &Kafka{cfg: cfg, Broker: Broker{kind: "Kafka", envURL: EnvKafkaURL, limits: kafkaLimits}}
		for p := range k.ports {
			if k.ports[p], err = FreePort(); err != nil {
				return nil, err
			}
		}
		voters[i] = fmt.Sprintf("%d@%s", i+1, loopback(k.ports[2]))
		k.Addr = loopback(k.ports[0])
		urls[i] = k.Addr
		k.ready = func() error { return kafkaAnswers(loopback(k.ports[1])) }
		all = append(all, k)
	}
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i, k := range all {
		k.URL = kafkaURL(cfg, strings.Join(urls, ","))
		// The last of two lines counts.
		k.cfg.Properties = append([]string{
			"node.id=" + strconv.Itoa(i+1), "controller.quorum.voters=" + strings.Join(voters, ","),
			"default.replication.factor=2", "min.insync.replicas=1", "offsets.topic.replication.factor=2", "transaction.state.log.replication.factor=2",
			// A leader that was killed is back before it has all: it must not become one again by itself.
			"auto.leader.rebalance.enable=false",
		}, cfg.Properties...)
		k.cfg.heap = "-Xmx300m"
		if errs[i] = k.local(java, jars); errs[i] == nil {
			wg.Go(func() { errs[i] = k.Start(ctx) })
		}
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		for _, k := range all {
			k.Stop()
		}
		return nil, err
	}
	return all, nil
}
