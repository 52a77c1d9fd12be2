package parts

import (
	"context"
	"encoding/binary"
	"errors"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/streamerson/streamerson/bench/role"
)

// The control is what kafka-go's documentation leads to: a Writer, told to wait for 1 ms instead of 1 s and, unlike its default,
// for the broker's acks, as rpc does; a Reader in a group for requests, which commits each 50 ms, and one without for replies.

const (
	kafkaBatchWait   = time.Millisecond
	kafkaCommitEvery = 50 * time.Millisecond
)

func kafkaWriter(addr, topic string) *kafka.Writer {
	return &kafka.Writer{Addr: kafka.TCP(addr), Topic: topic, BatchTimeout: kafkaBatchWait, RequiredAcks: kafka.RequireAll, Balancer: &kafka.RoundRobin{}}
}

// makeTopic makes a topic with one partition, unless it is there, and waits for its leader.
func makeTopic(ctx context.Context, addr, topic string) error {
	client := &kafka.Client{Addr: kafka.TCP(addr)}
	res, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 1, ReplicationFactor: 1}}})
	if err == nil {
		err = res.Errors[topic]
	}
	if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
		return err
	}
	for {
		conn, err := kafka.DialLeader(ctx, "tcp", addr, topic, 0)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// kafkaTopics makes the topics of requests, which has the stream's name, and of replies.
func kafkaTopics(ctx context.Context, spec role.Spec) (addr, replies string, err error) {
	if addr, err = kafkaHost(spec.URL); err != nil {
		return "", "", err
	}
	replies = spec.Stream + ".replies"
	for _, t := range []string{spec.Stream, replies} {
		if err := makeTopic(ctx, addr, t); err != nil {
			return "", "", err
		}
	}
	return addr, replies, nil
}

func kafkaHost(rawURL string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", err
	}
	return u.Host, nil
}

// kafkaCaller matches replies by the number that begins each message.
type kafkaCaller struct {
	w       *kafka.Writer
	r       *kafka.Reader
	seq     atomic.Uint64
	waiting sync.Map // number → chan []byte
}

func startKafkaClient(ctx context.Context, spec role.Spec) (*role.Part, error) {
	addr, replies, err := kafkaTopics(ctx, spec)
	if err != nil {
		return nil, err
	}
	c := &kafkaCaller{w: kafkaWriter(addr, spec.Stream), r: kafka.NewReader(kafka.ReaderConfig{Brokers: []string{addr}, Topic: replies})}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			m, err := c.r.ReadMessage(run)
			if err != nil {
				return
			}
			if ch, ok := c.waiting.LoadAndDelete(binary.BigEndian.Uint64(m.Value)); ok {
				ch.(chan []byte) <- m.Value[8:]
			}
		}
	})
	return &role.Part{Caller: c, Close: func(context.Context) error {
		cancel()
		wg.Wait()
		return errors.Join(c.w.Close(), c.r.Close())
	}}, nil
}

// Call implements Caller.
func (c *kafkaCaller) Call(ctx context.Context, _, body []byte) ([]byte, error) {
	id, ch := c.seq.Add(1), make(chan []byte, 1)
	c.waiting.Store(id, ch)
	defer c.waiting.Delete(id)
	if err := c.w.WriteMessages(ctx, kafka.Message{Value: append(binary.BigEndian.AppendUint64(nil, id), body...)}); err != nil {
		return nil, err
	}
	t := time.NewTimer(handTimeout)
	defer t.Stop()
	select {
	case b := <-ch:
		return b, nil
	case <-t.C:
		return nil, errLost
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// startKafkaWorker answers one request after the other.
func startKafkaWorker(ctx context.Context, spec role.Spec) (*role.Part, error) {
	addr, replies, err := kafkaTopics(ctx, spec)
	if err != nil {
		return nil, err
	}
	w := kafkaWriter(addr, replies)
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{addr}, Topic: spec.Stream, GroupID: handGroup, CommitInterval: kafkaCommitEvery, StartOffset: kafka.FirstOffset})
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			m, err := r.FetchMessage(run)
			if err != nil {
				return
			}
			if err := w.WriteMessages(run, kafka.Message{Value: m.Value}); err == nil {
				_ = r.CommitMessages(run, m)
			}
		}
	})
	return &role.Part{Close: func(context.Context) error {
		cancel()
		wg.Wait()
		return errors.Join(w.Close(), r.Close())
	}}, nil
}
