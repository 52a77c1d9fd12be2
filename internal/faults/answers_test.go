package faults

import (
	"context"
	"testing"
	"time"

	"github.com/streamerson/streamerson/rpc"
)

// answer is how a call that was made in the background ended.
type answer struct {
	resp *rpc.Response
	err  error
	took time.Duration
}

func callLater(c *rpc.Client, r *rpc.Request) <-chan answer {
	done := make(chan answer, 1)
	began := time.Now()
	go func() {
		resp, err := c.Call(context.Background(), r)
		done <- answer{resp, err, time.Since(began)}
	}()
	return done
}

// within waits for an answer.
func within(t testing.TB, bound time.Duration, a <-chan answer) answer {
	t.Helper()
	select {
	case got := <-a:
		return got
	case <-time.After(bound):
		t.Fatalf("no answer within %v", bound)
		return answer{}
	}
}

// backWithin waits until a call that began after now has succeeded.
func (w *world) backWithin(client *rpc.Client, bound time.Duration) {
	w.t.Helper()
	began := time.Now()
	for {
		_, err := client.Call(context.Background(), w.request("echo", "back?", 500*time.Millisecond))
		switch {
		case err == nil:
			return
		case time.Since(began) > bound:
			w.t.Fatalf("the service is not back after %v: %v", bound, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
