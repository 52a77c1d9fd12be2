// Command go runs the Go rivals that the benchmark compares rpc with, each client and each worker as a process of its own:
// gRPC, NATS micro, and Watermill's request-reply on Redis Streams, NATS and Kafka. `streamerson bench peers` starts it;
// ../README.md says how each rival is set up, and on whose advice.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/streamerson/streamerson/bench/peers/go/role"
)

var starters = map[string]role.Starter{
	"grpc-server":                startGRPCServer,
	"grpc-client":                startGRPCClient,
	"micro-worker":               startMicroWorker,
	"micro-client":               startMicroClient,
	"watermill-redis-worker":     worker(redisBus),
	"watermill-redis-client":     client(redisBus),
	"watermill-nats-worker":      worker(coreBus),
	"watermill-nats-client":      client(coreBus),
	"watermill-jetstream-worker": worker(jetStreamBus),
	"watermill-jetstream-client": client(jetStreamBus),
	"watermill-kafka-worker":     worker(kafkaBus),
	"watermill-kafka-client":     client(kafkaBus),
}

func main() {
	if err := role.Run(context.Background(), starters, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "rival:", err)
		os.Exit(1)
	}
}
