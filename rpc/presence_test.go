package rpc_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
	"github.com/streamerson/streamerson/transport/mem"
)

// slowLag is a driver whose broker has to wait for its members' answers.
type slowLag struct{ *mem.Driver }

const lagTakes = 200 * time.Millisecond

func (d slowLag) Lag(ctx context.Context, stream, group string) (transport.Lag, error) {
	select {
	case <-time.After(lagTakes):
		return d.Driver.Lag(ctx, stream, group)
	case <-ctx.Done():
		return transport.Lag{}, &transport.Error{Code: transport.CodeTimeout, Op: "lag", Err: ctx.Err()}
	}
}

// The first call to a stream waits for one count, however many other streams are counted; a stream that is called no more and then
// again is counted anew, also the one whose look-up is spared.
func TestFirstCallWaitsForItsOwnCountOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rpc.ClientConfig{NoWorkerWait: -1})
		var streams []rpc.StreamConfig
		for i := range 100 {
			streams = append(streams, rpc.StreamConfig{Name: fmt.Sprint("s", i)})
		}
		stop := w.serve(rpc.ServerConfig{Streams: streams}, map[string]rpc.Handler{"echo": echo})
		c, err := rpc.NewClient(t.Context(), slowLag{w.d}, rpc.ClientConfig{})
		if err != nil {
			t.Fatal(err)
		}
		call := func(i int) (time.Duration, error) {
			start := time.Now()
			_, err := c.Call(t.Context(), &rpc.Request{Stream: fmt.Sprint("s", i), Function: "echo"})
			return time.Since(start), err
		}
		for i := range 99 {
			c.Watch(fmt.Sprint("s", i))
		}
		time.Sleep(5 * time.Second) // they are counted all the time
		for i, most := range map[int]time.Duration{0: 0, 99: lagTakes} {
			if took, err := call(i); err != nil || took > most {
				t.Errorf("the first call to stream %d took %v, want at most %v; %v", i, took, most, err)
			}
		}
		for i := range 3 { // the one that was called first is the one whose look-up is spared
			if took, err := call(i); err != nil || took > 0 {
				t.Errorf("a call to stream %d took %v, %v", i, took, err)
			}
		}
		time.Sleep(15 * time.Second) // nobody calls: the counts end
		stop()
		time.Sleep(5 * time.Second)
		for i := range 3 {
			if _, err := call(i); rpc.CodeOf(err) != rpc.CodeUnavailable {
				t.Errorf("a call to stream %d, which nobody serves any more: %v", i, err)
			}
		}
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
