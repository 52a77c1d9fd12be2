package nats

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/transport"
)

// BenchmarkCall is one round of n requests and their replies: by the driver over JetStream, over core NATS, and by nc.Request.
func BenchmarkCall(b *testing.B) {
	n, err := brokers.StartNATSProcess(b.Context(), brokers.NATSConfig{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(n.Stop)
	for _, size := range []int{1, 64} {
		for _, scheme := range []string{"nats", "nats+core"} {
			b.Run(fmt.Sprintf("%s-%d", scheme, size), func(b *testing.B) { benchDriver(b, scheme+"://"+n.Addr, size) })
		}
		b.Run(fmt.Sprintf("nc.Request-%d", size), func(b *testing.B) { benchRequest(b, n.Addr, size) })
	}
}

func benchDriver(b *testing.B, url string, size int) {
	caller, _ := open(b, url)
	worker, _ := open(b, url)
	stream := fmt.Sprintf("bench-%d", size)
	c := ensure(b, worker, transport.StreamSpec{Stream: stream, Groups: []string{"workers"}})
	lane, err := caller.Tail(b.Context(), transport.TailSpec{Name: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			ds, _ := c.Receive(ctx, 64, []transport.Credit{{Stream: stream, Max: 64}})
			batch, errs := make([]transport.Settlement, len(ds)), make([]error, len(ds))
			for i := range ds {
				batch[i] = transport.Settlement{Delivery: &ds[i], Verb: transport.Ack, Reply: &transport.Message{Stream: lane.Address(), Lane: true, Body: ds[i].Body}}
			}
			c.Settle(context.Background(), batch, errs)
		}
	})
	defer wg.Wait()
	defer cancel()
	m, res := make([]transport.Message, size), make([]transport.Result, size)
	for i := range m {
		m[i] = transport.Message{Stream: stream, Body: make([]byte, 256)}
	}
	b.ReportAllocs()
	for b.Loop() {
		caller.Publish(b.Context(), m, res)
		for got := 0; got < size; {
			bodies, err := lane.Receive(b.Context(), size)
			if err != nil || res[0].Err != nil {
				b.Fatal(err, res[0].Err)
			}
			got += len(bodies)
		}
	}
}

func benchRequest(b *testing.B, addr string, size int) {
	caller, err := nats.Connect(addr)
	if err != nil {
		b.Fatal(err)
	}
	defer caller.Close()
	worker, err := nats.Connect(addr)
	if err != nil {
		b.Fatal(err)
	}
	defer worker.Close()
	if _, err := worker.QueueSubscribe("bench", "workers", func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		b.Fatal(err)
	}
	if err := worker.Flush(); err != nil {
		b.Fatal(err)
	}
	body := make([]byte, 256)
	b.ReportAllocs()
	for b.Loop() {
		var wg sync.WaitGroup
		for range size {
			wg.Go(func() {
				if _, err := caller.Request("bench", body, nats.DefaultTimeout); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
	}
}
