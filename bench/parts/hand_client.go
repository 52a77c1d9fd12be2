package parts

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/bench/role"
)

// The hand-pipelined control is what a skilled user would write on go-redis for this one purpose, without any of an RPC
// system's guarantees: no deadlines that travel, no leases, no redelivery, no dedup, no trimming below unread entries, no
// headers, no dead letters. It is the measure of what those cost.
//
// One connection publishes (group commit: all that arrived while the last pipeline was in flight), one reads replies.

const (
	// handGroup is the control's consumer group.
	handGroup = "workers"
	// handCap trims both of the control's streams, approximately; the control can afford it because it never lags.
	handCap = 10_000
	// handBatch bounds a pipeline and a read.
	handBatch = 256
	// handTimeout is when a call without a reply counts as lost. It is checked once a second for all calls at once.
	handTimeout = 10 * time.Second
	// readBlock bounds a blocking read, so that closing is noticed.
	readBlock = time.Second
)

var errLost = errors.New("no reply in time")

// handCall is one call in flight.
type handCall struct {
	id    uint64
	since time.Time
	body  []byte
	done  chan handReply
}

type handReply struct {
	body []byte
	err  error
}

type handClient struct {
	pub, sub     *redis.Client
	stream, lane string
	seq          atomic.Uint64
	out          chan *handCall
	free         sync.Pool

	mu      sync.Mutex
	pending map[uint64]*handCall

	batches, items atomic.Int64
}

// StartHandClient starts the control's client.
func StartHandClient(ctx context.Context, spec role.Spec) (*role.Part, error) {
	c := &handClient{
		stream: spec.Stream, lane: spec.Stream + ".lane." + rand.Text(),
		out: make(chan *handCall, 4*handBatch), pending: map[uint64]*handCall{},
	}
	c.free.New = func() any { return &handCall{done: make(chan handReply, 1)} }
	var err error
	if c.pub, err = dialRedis(ctx, spec.URL, 1); err != nil {
		return nil, err
	}
	if c.sub, err = dialRedis(ctx, spec.URL, 1); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { c.publish(ctx) })
	wg.Go(func() { c.receive(ctx) })
	wg.Go(func() { c.expire(ctx) })
	return &role.Part{
		Caller: c,
		Counters: func() map[string]int64 {
			return map[string]int64{"publish.batches": c.batches.Load(), "publish.items": c.items.Load()}
		},
		Close: func(ctx context.Context) error {
			err := c.pub.Del(ctx, c.lane).Err()
			cancel()
			err = errors.Join(err, c.pub.Close(), c.sub.Close())
			wg.Wait()
			return err
		},
	}, nil
}

// dialRedis connects a client that holds conns connections at most and never repeats a command.
func dialRedis(ctx context.Context, url string, conns int) (*redis.Client, error) {
	opts, err := redis.ParseURL(url)
	if err != nil {
		return nil, errors.New("bench: the Redis URL can't be parsed; it looks like redis://user:password@host:6379/0")
	}
	opts.MaxRetries, opts.PoolSize, opts.MaxActiveConns = -1, conns, conns
	opts.ReadTimeout = handTimeout
	c := redis.NewClient(opts)
	if err := c.Ping(ctx).Err(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// handAdd trims with the first entry of each pipeline only: with every entry it costs about 6 % of the calls.
func handAdd(stream string, frame []byte, trim bool) *redis.XAddArgs {
	a := &redis.XAddArgs{Stream: stream, Values: []any{"m", frame}}
	if trim {
		a.MaxLen, a.Approx = handCap, true
	}
	return a
}

// Call implements Caller.
func (c *handClient) Call(_ context.Context, _, body []byte) ([]byte, error) {
	call := c.free.Get().(*handCall)
	call.id, call.since, call.body = c.seq.Add(1), time.Now(), body
	c.mu.Lock()
	c.pending[call.id] = call
	c.mu.Unlock()
	c.out <- call
	r := <-call.done
	c.free.Put(call)
	return r.body, r.err
}

// finish ends the call with that id, once; later finishes find nothing.
func (c *handClient) finish(id uint64, r handReply) {
	c.mu.Lock()
	call := c.pending[id]
	delete(c.pending, id)
	c.mu.Unlock()
	if call != nil {
		call.done <- r
	}
}

func (c *handClient) publish(ctx context.Context) {
	ids := make([]uint64, 0, handBatch)
	for {
		var call *handCall
		select {
		case call = <-c.out:
		case <-ctx.Done():
			return
		}
		pipe := c.pub.Pipeline()
		for ids = ids[:0]; call != nil; {
			ids = append(ids, call.id)
			// One field: splitting id, reply address and body into three costs the broker and both clients more.
			frame := make([]byte, 0, 9+len(c.lane)+len(call.body))
			frame = binary.LittleEndian.AppendUint64(frame, call.id)
			frame = append(append(append(frame, byte(len(c.lane))), c.lane...), call.body...)
			pipe.XAdd(ctx, handAdd(c.stream, frame, pipe.Len() == 0))
			if call = nil; len(ids) < handBatch {
				select {
				case call = <-c.out:
				default:
				}
			}
		}
		c.batches.Add(1)
		c.items.Add(int64(len(ids)))
		cmds, err := pipe.Exec(ctx)
		for i, id := range ids {
			if i < len(cmds) {
				err = cmds[i].Err()
			}
			if err != nil {
				c.finish(id, handReply{err: fmt.Errorf("publish: %w", err)})
			}
		}
	}
}

func (c *handClient) receive(ctx context.Context) {
	// The lane is this process's alone and empty, so its beginning is where it attached.
	last := "0"
	for ctx.Err() == nil {
		got, err := c.sub.XRead(ctx, &redis.XReadArgs{Streams: []string{c.lane, last}, Count: 1000, Block: readBlock}).Result()
		if err != nil {
			if !errors.Is(err, redis.Nil) {
				pause(ctx)
			}
			continue
		}
		for _, m := range got[0].Messages {
			last = m.ID
			frame, _ := m.Values["m"].(string)
			if len(frame) >= 8 {
				c.finish(binary.LittleEndian.Uint64([]byte(frame[:8])), handReply{body: []byte(frame[8:])})
			}
		}
	}
}

func (c *handClient) expire(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		var lost []uint64
		c.mu.Lock()
		for id, call := range c.pending {
			if time.Since(call.since) > handTimeout {
				lost = append(lost, id)
			}
		}
		c.mu.Unlock()
		for _, id := range lost {
			c.finish(id, handReply{err: errLost})
		}
	}
}

// pause keeps a loop whose broker is away from spinning.
func pause(ctx context.Context) {
	select {
	case <-time.After(50 * time.Millisecond):
	case <-ctx.Done():
	}
}
