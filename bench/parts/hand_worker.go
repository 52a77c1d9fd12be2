package parts

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/bench/role"
)

// handWorker reads requests, runs the echo in place, and writes the replies as one pipeline, which also acks what the
// pipeline before has answered: a request is acked only after its reply was accepted. Running the handler in the reading
// loop is what makes the control fast; no service whose handlers wait could do it.
type handWorker struct {
	rdb            *redis.Client
	stream         string
	batches, items atomic.Int64
}

// StartHandWorker starts the control's worker.
func StartHandWorker(ctx context.Context, spec role.Spec) (*role.Part, error) {
	rdb, err := dialRedis(ctx, spec.URL, 1)
	if err != nil {
		return nil, err
	}
	if err := createGroup(ctx, rdb, spec.Stream, handGroup); err != nil {
		return nil, errors.Join(err, rdb.Close())
	}
	w := &handWorker{rdb: rdb, stream: spec.Stream}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { w.serve(ctx) })
	return &role.Part{
		Counters: func() map[string]int64 {
			return map[string]int64{"settle.batches": w.batches.Load(), "settle.items": w.items.Load()}
		},
		Close: func(context.Context) error {
			cancel()
			wg.Wait() // at most readBlock; the last acks go out in serve
			return rdb.Close()
		},
	}, nil
}

// createGroup makes stream and group unless they are there.
func createGroup(ctx context.Context, rdb *redis.Client, stream, group string) error {
	err := rdb.XGroupCreateMkStream(ctx, stream, group, "0").Err()
	if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
		return err
	}
	return nil
}

func (w *handWorker) serve(ctx context.Context) {
	args := &redis.XReadGroupArgs{Group: handGroup, Consumer: "hand", Streams: []string{w.stream, ">"}, Count: handBatch, Block: readBlock}
	var done, acks []string
	for ctx.Err() == nil {
		got, err := w.rdb.XReadGroup(context.WithoutCancel(ctx), args).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			pause(ctx)
			continue
		}
		pipe := w.rdb.Pipeline()
		acks, done = done, acks[:0]
		if err == nil {
			for _, m := range got[0].Messages {
				lane, reply := handEcho(m)
				done = append(done, m.ID)
				pipe.XAdd(ctx, handAdd(lane, reply, pipe.Len() == 0))
			}
		}
		if len(acks) > 0 {
			pipe.XAck(ctx, w.stream, handGroup, acks...)
		}
		if pipe.Len() == 0 {
			continue
		}
		w.batches.Add(1)
		w.items.Add(int64(len(done)))
		done = w.send(ctx, pipe, done)
	}
	if len(done) > 0 {
		_ = w.rdb.XAck(context.WithoutCancel(ctx), w.stream, handGroup, done...).Err()
	}
}

// send runs the pipeline and returns the ids whose replies were accepted; the others stay pending.
func (w *handWorker) send(ctx context.Context, pipe redis.Pipeliner, done []string) []string {
	cmds, err := pipe.Exec(context.WithoutCancel(ctx))
	if err == nil {
		return done
	}
	kept := done[:0]
	for i, id := range done {
		if i < len(cmds) && cmds[i].Err() == nil {
			kept = append(kept, id)
		}
	}
	return kept
}

// handEcho splits a request's frame into the lane and the reply's frame, which is id and body.
func handEcho(m redis.XMessage) (lane string, reply []byte) {
	frame, _ := m.Values["m"].(string)
	if len(frame) < 9 || len(frame) < 9+int(frame[8]) {
		return "bad", nil
	}
	n := 9 + int(frame[8])
	reply = make([]byte, 0, 8+len(frame)-n)
	return frame[9:n], append(append(reply, frame[:8]...), frame[n:]...)
}
