package main

import (
	"sync"

	"github.com/streamerson/streamerson/transport"
	"github.com/streamerson/streamerson/transport/kafka"
	"github.com/streamerson/streamerson/transport/mem"
	"github.com/streamerson/streamerson/transport/nats"
	"github.com/streamerson/streamerson/transport/redis"
)

// registerDrivers says which transports this program has. A program with another one is a copy of this folder with one line
// more here.
var registerDrivers = sync.OnceFunc(func() {
	transport.Default.Register("mem", mem.Open)
	for _, scheme := range kafka.Schemes {
		transport.Default.Register(scheme, kafka.Open)
	}
	for _, scheme := range redis.Schemes {
		transport.Default.Register(scheme, redis.Open)
	}
	for _, scheme := range nats.Schemes {
		transport.Default.Register(scheme, nats.Open)
	}
})
