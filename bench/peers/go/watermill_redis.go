package main

import (
	"context"
	"errors"
	"time"

	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/components/requestreply"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/bench/peers/go/role"
)

const (
	// redisConsumers of the group: each takes one command at a time, in three round trips. More of them won't help on two cores.
	redisConsumers = 32
	// redisPool is connections: each call's subscription blocks one in XREAD until its reply is there, and for replyBlock more.
	redisPool = 1024
	// replyBlock is how long a subscription's second XREAD blocks after the reply has come, before it sees that it is not
	// needed any more. The default, 100 ms, would hold some 400 connections.
	replyBlock = 10 * time.Millisecond
	// workerGroup is the consumer group's name, on every broker.
	workerGroup = "workers"
)

// redisBus sends replies to a stream for each call, which the caller deletes: with one for all calls, each of them would
// get all the others' replies. A stream is read from its beginning: what "$", the default, means is fixed by the broker only
// when XREAD comes, which may be after the reply.
func redisBus(_ context.Context, s role.Spec, isWorker bool) (*bus, error) {
	opts, err := redis.ParseURL(s.URL)
	if err != nil {
		return nil, err
	}
	opts.PoolSize = redisPool
	rdb := redis.NewClient(opts)
	pub, err := redisstream.NewPublisher(redisstream.PublisherConfig{Client: rdb}, quiet)
	if err != nil {
		return nil, errors.Join(err, rdb.Close())
	}
	b := &bus{
		commandTopic: s.Stream,
		sender:       pub, replier: pub, consumers: redisConsumers,
		commands: func() (message.Subscriber, error) {
			// A subscriber closes its client.
			return redisstream.NewSubscriber(redisstream.SubscriberConfig{Client: redis.NewClient(opts), ConsumerGroup: workerGroup}, quiet)
		},
		topic: func(op requestreply.OperationID) string { return s.Stream + ".reply." + string(op) },
		close: pub.Close,
	}
	if isWorker {
		return b, nil
	}
	sub, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{Client: rdb, FanOutOldestId: "0", BlockTime: replyBlock}, quiet)
	if err != nil {
		return nil, errors.Join(err, pub.Close())
	}
	b.replies = func(requestreply.OperationID) (message.Subscriber, error) { return sub, nil }
	b.finished = func(ctx context.Context, op requestreply.OperationID) { rdb.Del(ctx, b.topic(op)) }
	return b, nil
}
