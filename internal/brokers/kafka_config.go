package brokers

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"
)

func kafkaURL(cfg KafkaConfig, addr string) string {
	u := url.URL{Scheme: "kafka", Host: addr}
	if cfg.User != "" {
		u.User = url.UserPassword(cfg.User, cfg.Password)
	}
	return u.String()
}

// kafkaProperties is server.properties of a broker that is its own controller, listens on an address of its host and is
// reached by loopback.
func kafkaProperties(cfg KafkaConfig, host, data, pem string, ports [4]int) string {
	protocol := "PLAINTEXT"
	if cfg.User != "" {
		protocol = "SASL_PLAINTEXT"
	}
	listeners := func(host string) string {
		s := fmt.Sprintf("CLIENT://%s:%d,OWN://%s:%d", host, ports[0], host, ports[1])
		if cfg.PEM != "" {
			s += fmt.Sprintf(",TLS://%s:%d", host, ports[3])
		}
		return s
	}
	controller := loopback(ports[2])
	lines := []string{
		"process.roles=broker,controller", "node.id=1",
		"controller.quorum.voters=1@" + controller,
		"listeners=" + listeners(host) + ",CONTROLLER://" + controller, "advertised.listeners=" + listeners("127.0.0.1"),
		"listener.security.protocol.map=CLIENT:" + protocol + ",OWN:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL",
		"inter.broker.listener.name=OWN", "controller.listener.names=CONTROLLER",
		"log.dirs=" + data,
		"auto.create.topics.enable=false",
		// One broker can't keep the three copies that are the default of Kafka's own topics.
		"offsets.topic.replication.factor=1", "offsets.topic.num.partitions=8", "transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1", "share.coordinator.state.topic.replication.factor=1", "share.coordinator.state.topic.min.isr=1",
		// The first member of a group would wait 3 s for others.
		"group.initial.rebalance.delay.ms=0",
		// After kill -9 the controller takes the broker back once its old session has ended: 4.5 s in all, where 9 s make it 14.
		"broker.session.timeout.ms=2000", "broker.heartbeat.interval.ms=500",
		"num.network.threads=2", "num.io.threads=4", "log.cleaner.dedupe.buffer.size=16777216",
	}
	if cfg.User != "" {
		lines = append(lines, "listener.name.client.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
			fmt.Sprintf("listener.name.client.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_%s=%q;", cfg.User, cfg.Password),
			"listener.name.client.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;",
			"listener.name.client.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;")
	}
	if cfg.PEM != "" {
		lines = append(lines, "listener.name.tls.ssl.keystore.type=PEM", "listener.name.tls.ssl.keystore.location="+pem)
	}
	return strings.Join(append(lines, cfg.Properties...), "\n") + "\n"
}

// kafkaAnswers asks for Metadata, version 1, and wants a broker in the answer. It speaks just enough of the protocol, so that
// the package needs no client library.
func kafkaAnswers(addr string) error {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	req := []byte{
		0, 0, 0, 14, // what follows
		0, 3, 0, 1, 0, 0, 0, 7, // Metadata, version 1, correlation id 7
		0xff, 0xff, // no client id
		0, 0, 0, 0, // no topics
	}
	if _, err := c.Write(req); err != nil {
		return err
	}
	var head [12]byte // size, correlation id, number of brokers
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return err
	}
	if id, n := binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint32(head[8:]); id != 7 || n == 0 {
		return fmt.Errorf("brokers: Metadata names %d brokers", n)
	}
	return nil
}
