package wire_test

import (
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/streamerson/streamerson/rpc/wire"
)

// A decoder with a cache gives what one without gives, from several goroutines at once.
func TestCacheChangesNothing(t *testing.T) {
	c := wire.NewCache()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 4000 {
				frame := wire.Append(nil, &wire.Envelope{
					Kind: wire.KindRequest, Attempt: 1, ReplyTo: fmt.Sprint("lane", i%3), Function: fmt.Sprint("f", i%100),
					Headers: wire.Header{{Name: "n", Value: fmt.Sprint(i % (50 + g))}}, Body: []byte{byte(i)},
				})
				var got, want wire.Envelope
				if err := c.Decode(&got, frame); err != nil {
					t.Error(err)
				}
				if err := wire.Decode(&want, frame); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("decoded %+v, want %+v, %v", got, want, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestCacheSavesTheCopy(t *testing.T) {
	c := wire.NewCache()
	frame := wire.Append(nil, &wire.Envelope{Kind: wire.KindRequest, Attempt: 1, ReplyTo: "lane", Function: "f", Body: []byte("b")})
	var e wire.Envelope
	if n := testing.AllocsPerRun(100, func() { _ = c.Decode(&e, frame) }); n != 0 {
		t.Errorf("%v allocations for fields that were seen before", n)
	}
	if e.Function != "f" || e.ReplyTo != "lane" {
		t.Errorf("%+v", e)
	}
}
