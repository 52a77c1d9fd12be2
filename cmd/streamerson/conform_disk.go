package main

import (
	"context"

	"github.com/streamerson/streamerson/conformance"
	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/transport"
)

func redisOnDisk(ctx context.Context, size int64) (*conformance.Disk, error) {
	return onDisk(size, func(dir string) (string, *brokers.Broker, error) {
		r, err := brokers.StartRedis(ctx, brokers.RedisConfig{AOF: "everysec", Dir: dir, Own: true})
		if err != nil {
			return "", nil, err
		}
		return r.URL, &r.Broker, nil
	})
}

func natsOnDisk(ctx context.Context, size int64) (*conformance.Disk, error) {
	return onDisk(size, func(dir string) (string, *brokers.Broker, error) {
		n, err := brokers.StartNATSProcess(ctx, brokers.NATSConfig{Dir: dir, MaxStore: 10 * size, Own: true})
		if err != nil {
			return "", nil, err
		}
		return n.URL, &n.Broker, nil
	})
}

// kafkaOnDisk has small segments: each has index files of a fixed size.
func kafkaOnDisk(ctx context.Context, size int64) (*conformance.Disk, error) {
	return onDisk(size, func(dir string) (string, *brokers.Broker, error) {
		k, err := brokers.StartKafka(ctx, brokers.KafkaConfig{Dir: dir, Own: true, Properties: []string{"log.index.size.max.bytes=65536"}})
		if err != nil {
			return "", nil, err
		}
		return k.URL + "?partitions=1", &k.Broker, nil
	})
}

// onDisk starts a broker whose data are on a disk of its own.
func onDisk(size int64, start func(dir string) (url string, b *brokers.Broker, err error)) (*conformance.Disk, error) {
	disk, err := brokers.NewDisk(size)
	if err != nil {
		return nil, err
	}
	url, b, err := start(disk.Dir)
	if err != nil {
		disk.Remove()
		return nil, err
	}
	return &conformance.Disk{
		Open: func(ctx context.Context) (transport.Driver, error) { return openQuietly(ctx, url) },
		Fill: disk.Fill, Free: disk.Free, Restart: b.Restart,
		Stop: func() { b.Stop(); disk.Remove() },
	}, nil
}
