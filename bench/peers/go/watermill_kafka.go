package main

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/components/requestreply"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/streamerson/streamerson/bench/peers/go/role"
)

// kafkaPartitions of the command topic: a group's member takes one command of each partition at a time.
const kafkaPartitions = 16

// kafkaBus has one reply topic, and in the client one subscription to it for all calls, handed on by Watermill's FanOut: a
// topic for each call would be made and led first, and a subscription to Kafka for each call connects anew. Every call still
// gets every reply and drops those of others: that is how the component tells them apart.
func kafkaBus(ctx context.Context, s role.Spec, isWorker bool) (*bus, error) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return nil, err
	}
	brokers, replyTopic := []string{u.Host}, s.Stream+".replies"
	if err := makeTopics(brokers, map[string]int32{s.Stream: kafkaPartitions, replyTopic: 1}); err != nil {
		return nil, err
	}
	producer := kafka.DefaultSaramaSyncPublisherConfig()
	producer.Producer.RequiredAcks = sarama.WaitForAll // as every leg on Kafka
	pub, err := kafka.NewPublisher(kafka.PublisherConfig{Brokers: brokers, Marshaler: kafka.DefaultMarshaler{}, OverwriteSaramaConfig: producer}, quiet)
	if err != nil {
		return nil, err
	}
	b := &bus{
		commandTopic: s.Stream,
		sender:       pub, replier: pub, consumers: 1,
		commands: func() (message.Subscriber, error) {
			consumer := kafka.DefaultSaramaSubscriberConfig()
			consumer.Consumer.Offsets.Initial = sarama.OffsetOldest
			return kafka.NewSubscriber(kafka.SubscriberConfig{
				Brokers: brokers, Unmarshaler: kafka.DefaultMarshaler{}, ConsumerGroup: workerGroup, OverwriteSaramaConfig: consumer,
			}, quiet)
		},
		topic: func(requestreply.OperationID) string { return replyTopic },
		close: pub.Close,
	}
	if isWorker {
		return b, nil
	}
	sub, err := kafka.NewSubscriber(kafka.SubscriberConfig{Brokers: brokers, Unmarshaler: kafka.DefaultMarshaler{}}, quiet)
	if err != nil {
		return nil, errors.Join(err, pub.Close())
	}
	fan, err := gochannel.NewFanOut(sub, quiet)
	if err != nil {
		return nil, errors.Join(err, sub.Close(), pub.Close())
	}
	fan.AddSubscription(replyTopic)
	ended := make(chan error, 1)
	go func() { ended <- fan.Run(ctx) }()
	select {
	case <-fan.Running():
	case err := <-ended:
		return nil, errors.Join(err, sub.Close(), pub.Close())
	}
	b.replies = func(requestreply.OperationID) (message.Subscriber, error) { return fan, nil }
	b.close = func() error { return errors.Join(fan.Close(), <-ended, sub.Close(), pub.Close()) }
	return b, nil
}

// makeTopics makes those that are not there, and waits until each of their partitions is led.
func makeTopics(brokers []string, partitions map[string]int32) error {
	cfg := sarama.NewConfig()
	cfg.Version = sarama.V2_0_0_0
	admin, err := sarama.NewClusterAdmin(brokers, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close() }()
	for topic, n := range partitions {
		err := admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: n, ReplicationFactor: 1}, false)
		if err != nil && !errors.Is(err, sarama.ErrTopicAlreadyExists) {
			return err
		}
	}
	for topic := range partitions {
		if err := led(admin, topic); err != nil {
			return err
		}
	}
	return nil
}

// ledTimeout bounds how long a new topic may be without a leader: a broker that has just begun takes seconds.
const ledTimeout = 30 * time.Second

func led(admin sarama.ClusterAdmin, topic string) error {
	for deadline := time.Now().Add(ledTimeout); ; time.Sleep(50 * time.Millisecond) {
		topics, err := admin.DescribeTopics([]string{topic})
		if err == nil && len(topics) == 1 && topics[0].Err == sarama.ErrNoError && allLed(topics[0]) {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(errors.New("topic "+topic+" has no leader"), err)
		}
	}
}

func allLed(t *sarama.TopicMetadata) bool {
	for _, p := range t.Partitions {
		if p.Leader < 0 || p.Err != sarama.ErrNoError {
			return false
		}
	}
	return len(t.Partitions) > 0
}
