package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/components/cqrs"
	"github.com/ThreeDotsLabs/watermill/components/requestreply"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/streamerson/streamerson/bench/peers/go/role"
)

// Watermill's request-reply: a command bus and a command processor of its CQRS component, whose handler's result goes back
// over a publisher and comes in by a subscription that the component makes for each call.

// echoCommand is the request and its result; Watermill's marshalers carry JSON, in which bytes are base64.
type echoCommand struct{ Body []byte }

// bus is one broker's publishers and subscribers. A worker uses all but sender and replies, a client all but replier and commands.
type bus struct {
	commandTopic string
	// sender publishes commands (client) and replier replies (worker).
	sender, replier message.Publisher
	// commands makes one of the worker's subscribers; consumers is how many there are, since each takes one command at a time.
	commands  func() (message.Subscriber, error)
	consumers int
	// replies is what a call listens on, and topic where.
	replies  func(op requestreply.OperationID) (message.Subscriber, error)
	topic    func(op requestreply.OperationID) string
	finished func(ctx context.Context, op requestreply.OperationID) // may be nil
	close    func() error
}

// opener connects to a broker; worker says which end this is.
type opener func(ctx context.Context, s role.Spec, worker bool) (*bus, error)

// replyTimeout makes Watermill end a call's subscription when no reply comes.
const replyTimeout = 10 * time.Second

// quiet: Watermill logs each message at its lower levels; errors are told by the calls.
var quiet = watermill.NopLogger{}

func (b *bus) backend() (*requestreply.PubSubBackend[echoCommand], error) {
	timeout := replyTimeout
	cfg := requestreply.PubSubBackendConfig{
		Publisher: b.replier,
		SubscriberConstructor: func(p requestreply.PubSubBackendSubscribeParams) (message.Subscriber, error) {
			return b.replies(p.OperationID)
		},
		GenerateSubscribeTopic: func(p requestreply.PubSubBackendSubscribeParams) (string, error) { return b.topic(p.OperationID), nil },
		GeneratePublishTopic:   func(p requestreply.PubSubBackendPublishParams) (string, error) { return b.topic(p.OperationID), nil },
		Logger:                 quiet,
		ListenForReplyTimeout:  &timeout,
	}
	if b.finished != nil {
		cfg.OnListenForReplyFinished = func(ctx context.Context, p requestreply.PubSubBackendSubscribeParams) {
			b.finished(context.WithoutCancel(ctx), p.OperationID)
		}
	}
	return requestreply.NewPubSubBackend(cfg, requestreply.BackendPubsubJSONMarshaler[echoCommand]{})
}

type watermillCaller struct {
	bus     *cqrs.CommandBus
	backend requestreply.Backend[echoCommand]
}

func client(open opener) role.Starter {
	return func(ctx context.Context, s role.Spec) (*role.Part, error) {
		b, err := open(ctx, s, false)
		if err != nil {
			return nil, err
		}
		commands, err := cqrs.NewCommandBusWithConfig(b.sender, cqrs.CommandBusConfig{
			GeneratePublishTopic: func(cqrs.CommandBusGeneratePublishTopicParams) (string, error) { return b.commandTopic, nil },
			Marshaler:            cqrs.JSONMarshaler{}, Logger: quiet,
		})
		if err != nil {
			return nil, errors.Join(err, b.close())
		}
		backend, err := b.backend()
		if err != nil {
			return nil, errors.Join(err, b.close())
		}
		return &role.Part{Caller: &watermillCaller{commands, backend}, Close: func(context.Context) error { return b.close() }}, nil
	}
}

func (c *watermillCaller) Call(ctx context.Context, body []byte) ([]byte, error) {
	reply, err := requestreply.SendWithReply(ctx, c.bus, c.backend, &echoCommand{Body: body})
	if err == nil {
		err = reply.Error
	}
	return reply.HandlerResult.Body, err
}

func worker(open opener) role.Starter {
	return func(ctx context.Context, s role.Spec) (*role.Part, error) {
		b, err := open(ctx, s, true)
		if err != nil {
			return nil, err
		}
		router, err := b.router()
		if err != nil {
			return nil, errors.Join(err, b.close())
		}
		ended := make(chan error, 1)
		go func() { ended <- router.Run(ctx) }()
		select {
		case <-router.Running():
		case err := <-ended:
			return nil, errors.Join(fmt.Errorf("the router ended before it served: %w", err), b.close())
		}
		return &role.Part{Close: func(context.Context) error {
			err := router.Close()
			return errors.Join(err, <-ended, b.close())
		}}, nil
	}
}

// router has one command processor a consumer, all with the same handler: a processor takes one command's handler once.
func (b *bus) router() (*message.Router, error) {
	router, err := message.NewRouter(message.RouterConfig{}, quiet)
	if err != nil {
		return nil, err
	}
	backend, err := b.backend()
	if err != nil {
		return nil, err
	}
	for i := range b.consumers {
		p, err := cqrs.NewCommandProcessorWithConfig(router, cqrs.CommandProcessorConfig{
			GenerateSubscribeTopic: func(cqrs.CommandProcessorGenerateSubscribeTopicParams) (string, error) { return b.commandTopic, nil },
			SubscriberConstructor: func(cqrs.CommandProcessorSubscriberConstructorParams) (message.Subscriber, error) {
				return b.commands()
			},
			Marshaler: cqrs.JSONMarshaler{}, Logger: quiet,
		})
		if err != nil {
			return nil, err
		}
		handle := func(_ context.Context, cmd *echoCommand) (echoCommand, error) { return *cmd, nil }
		if err := p.AddHandlers(requestreply.NewCommandHandlerWithResult(fmt.Sprintf("echo-%d", i), backend, handle)); err != nil {
			return nil, err
		}
	}
	return router, nil
}
