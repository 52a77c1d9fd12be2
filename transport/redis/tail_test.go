package redis

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// Several lanes that fill up while others are read: reader and tailers take each other's locks.
func TestManyLanesUnderLoad(t *testing.T) {
	d, _ := open(t)
	const lanes, each = 6, 3000
	var wg sync.WaitGroup
	for i := range lanes {
		tl, err := d.Tail(t.Context(), transport.TailSpec{Name: "gw", MaxLen: int64(4000 + i*1000)})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for sent := 0; sent < each; {
				m := make([]transport.Message, 100)
				for k := range m {
					m[k] = transport.Message{Stream: tl.Address(), Lane: true, Body: fmt.Append(nil, sent+k)}
				}
				res := make([]transport.Result, len(m))
				d.Publish(t.Context(), m, res)
				if res[0].Err != nil {
					t.Error(res[0].Err)
					return
				}
				sent += len(m)
			}
		})
		wg.Go(func() {
			for got := 0; got < each; {
				bs, err := tl.Receive(within(t, 20*time.Second), 1+i*37)
				if err != nil {
					t.Errorf("lane %d: %d of %d: %v", i, got, each, err)
					return
				}
				for _, b := range bs {
					if string(b) != fmt.Sprint(got) {
						t.Errorf("lane %d: got %s, want %d", i, b, got)
						return
					}
					got++
				}
			}
		})
	}
	wg.Wait()
}
