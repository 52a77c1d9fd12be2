package redis

import (
	"context"
	"fmt"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/transport"
)

// BenchmarkPublish compares the driver's publish with a bare pipeline of the client library, for batches of 1 and 64.
func BenchmarkPublish(b *testing.B) {
	body := make([]byte, 256)
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprintf("driver-%d", n), func(b *testing.B) {
			d, _ := open(b)
			s := name(b)
			ensure(b, d, s)
			m, res := make([]transport.Message, n), make([]transport.Result, n)
			for i := range m {
				m[i] = transport.Message{Stream: s, Body: body}
			}
			b.ReportAllocs()
			for b.Loop() {
				d.Publish(b.Context(), m, res)
				if res[0].Err != nil {
					b.Fatal(res[0].Err)
				}
			}
			admin(b, shared.Addr).Del(context.Background(), streamKey(s))
		})
		b.Run(fmt.Sprintf("bare-%d", n), func(b *testing.B) {
			d, _ := open(b)
			s := name(b)
			ensure(b, d, s)
			c := admin(b, shared.Addr)
			b.ReportAllocs()
			for b.Loop() {
				p := c.Pipeline()
				for range n {
					p.XAdd(context.Background(), &goredis.XAddArgs{Stream: streamKey(s), Values: []any{"b", body}})
				}
				if _, err := p.Exec(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
			c.Del(context.Background(), streamKey(s))
		})
	}
}
