package parts

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/bench/role"
)

// The naive control is the code that a first reading of the Redis documentation leads to: every command is a round trip of
// its own, every call waits on a reply key of its own, the worker takes one request, answers it, acks it.

// naiveConns is the pool that 256 waiting calls need: each blocks a connection.
const naiveConns = 512

type naiveClient struct {
	rdb    *redis.Client
	stream string
	seq    atomic.Uint64
}

func startNaiveClient(ctx context.Context, spec role.Spec) (*role.Part, error) {
	rdb, err := dialRedis(ctx, spec.URL, naiveConns)
	if err != nil {
		return nil, err
	}
	return &role.Part{Caller: &naiveClient{rdb: rdb, stream: spec.Stream}, Close: func(context.Context) error { return rdb.Close() }}, nil
}

// Call implements Caller.
func (c *naiveClient) Call(ctx context.Context, _, body []byte) ([]byte, error) {
	key := c.stream + ".reply." + strconv.FormatUint(c.seq.Add(1), 10)
	if err := c.rdb.XAdd(ctx, &redis.XAddArgs{Stream: c.stream, MaxLen: handCap, Approx: true, Values: []any{"reply", key, "body", body}}).Err(); err != nil {
		return nil, err
	}
	got, err := c.rdb.XRead(ctx, &redis.XReadArgs{Streams: []string{key, "0"}, Count: 1, Block: handTimeout}).Result()
	if errors.Is(err, redis.Nil) {
		return nil, errLost
	}
	if err != nil {
		return nil, err
	}
	reply, _ := got[0].Messages[0].Values["body"].(string)
	return []byte(reply), c.rdb.Del(ctx, key).Err()
}

func startNaiveWorker(ctx context.Context, spec role.Spec) (*role.Part, error) {
	rdb, err := dialRedis(ctx, spec.URL, 1)
	if err != nil {
		return nil, err
	}
	if err := createGroup(ctx, rdb, spec.Stream, handGroup); err != nil {
		return nil, errors.Join(err, rdb.Close())
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			if err := naiveServe(context.WithoutCancel(ctx), rdb, spec.Stream); err != nil {
				pause(ctx)
			}
		}
	})
	return &role.Part{Close: func(context.Context) error { cancel(); wg.Wait(); return rdb.Close() }}, nil
}

// naiveServe handles one request, or none when none came within readBlock.
func naiveServe(ctx context.Context, rdb *redis.Client, stream string) error {
	got, err := rdb.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: handGroup, Consumer: "naive", Streams: []string{stream, ">"}, Count: 1, Block: readBlock,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return nil
	}
	if err != nil {
		return err
	}
	m := got[0].Messages[0]
	key, _ := m.Values["reply"].(string)
	if err := rdb.XAdd(ctx, &redis.XAddArgs{Stream: key, Values: []any{"body", m.Values["body"]}}).Err(); err != nil {
		return err
	}
	return rdb.XAck(ctx, stream, handGroup, m.ID).Err()
}
