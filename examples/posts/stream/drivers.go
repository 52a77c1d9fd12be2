package main

import (
	"github.com/streamerson/streamerson/transport"
	"github.com/streamerson/streamerson/transport/redis"
)

// registerDrivers is the one place that knows which brokers this program can speak to.
func registerDrivers(r *transport.Registry) {
	for _, scheme := range redis.Schemes {
		r.Register(scheme, redis.Open)
	}
}
