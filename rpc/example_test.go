package rpc_test

import (
	"context"
	"fmt"
	"log"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
	"github.com/streamerson/streamerson/transport/mem"
)

// The core in a program of one's own: the README's twenty lines. With redis.Open registered for "redis" and a redis:// URL,
// server and client are processes of their own.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	transport.Default.Register("mem", mem.Open)
	d, err := transport.Open(ctx, "mem://")
	if err != nil {
		log.Fatal(err)
	}
	server, err := rpc.NewServer(d, rpc.ServerConfig{Slots: 8, Streams: []rpc.StreamConfig{{Name: "greetings"}}})
	if err != nil {
		log.Fatal(err)
	}
	rpc.Handle(server, "hello", func(_ context.Context, name string) (string, error) { return "Hello, " + name, nil })
	done := make(chan error)
	go func() { done <- server.Run(ctx) }()
	client, err := rpc.NewClient(ctx, d, rpc.ClientConfig{})
	if err != nil {
		log.Fatal(err)
	}
	greeting, err := rpc.Call[string](ctx, client, "greetings", "hello", "Ada")
	fmt.Println(greeting, err)
	stop() // drains the server
	fmt.Println(<-done)
	// Output:
	// Hello, Ada <nil>
	// <nil>
}
