package main

import (
	"context"
	"errors"
	"strings"

	watermillnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/components/requestreply"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"

	"github.com/streamerson/streamerson/bench/peers/go/role"
)

// natsConsumers is SubscribersCount: subscriptions of the queue group, each of which takes one command at a time.
const natsConsumers = 32

// coreBus carries commands and replies over core NATS, which stores nothing.
func coreBus(_ context.Context, s role.Spec, _ bool) (*bus, error) {
	return natsBus(s, watermillnats.JetStreamConfig{Disabled: true})
}

// jetStreamBus carries commands over JetStream and replies over core NATS: a stored reply would need a consumer made for each call.
// AckAsync lets the next command begin without waiting for the ack's own ack, as rpc's driver does.
func jetStreamBus(_ context.Context, s role.Spec, _ bool) (*bus, error) {
	return natsBus(s, watermillnats.JetStreamConfig{
		AutoProvision: true, AckAsync: true, DurablePrefix: workerGroup,
		SubscribeOptions: []nats.SubOpt{nats.DeliverAll(), nats.AckExplicit()},
	})
}

func natsBus(s role.Spec, js watermillnats.JetStreamConfig) (*bus, error) {
	nc, err := nats.Connect(s.URL)
	if err != nil {
		return nil, err
	}
	core := watermillnats.JetStreamConfig{Disabled: true}
	marshaler := &watermillnats.NATSMarshaler{}
	publisher := func(js watermillnats.JetStreamConfig) (message.Publisher, error) {
		return watermillnats.NewPublisherWithNatsConn(nc, watermillnats.PublisherPublishConfig{
			Marshaler: marshaler, JetStream: js, SubjectCalculator: watermillnats.DefaultSubjectCalculator,
		}, quiet)
	}
	sender, err1 := publisher(js)
	replier, err2 := publisher(core)
	// A topic's replies come by a plain subscription on the same connection, before the command is sent on it.
	replies, err3 := watermillnats.NewSubscriberWithNatsConn(nc, watermillnats.SubscriberSubscriptionConfig{Unmarshaler: marshaler, JetStream: core}, quiet)
	if err := errors.Join(err1, err2, err3); err != nil {
		nc.Close()
		return nil, err
	}
	return &bus{
		// AutoProvision names a stream after its topic, and a stream's name may have no dot.
		commandTopic: strings.ReplaceAll(s.Stream, ".", "-"),
		sender:       sender, replier: replier, consumers: 1,
		commands: func() (message.Subscriber, error) {
			return watermillnats.NewSubscriberWithNatsConn(nc, watermillnats.SubscriberSubscriptionConfig{
				Unmarshaler: marshaler, JetStream: js, QueueGroupPrefix: workerGroup, SubscribersCount: natsConsumers,
			}, quiet)
		},
		topic:   func(op requestreply.OperationID) string { return "reply." + string(op) },
		replies: func(requestreply.OperationID) (message.Subscriber, error) { return replies, nil },
		close:   func() error { nc.Close(); return nil },
	}, nil
}
