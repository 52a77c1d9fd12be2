package conformance

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/streamerson/streamerson/rpc"
)

// load is steady traffic of one-way messages and calls, each with an effect of its own name.
type load struct {
	s      *system
	client *rpc.Client
	stop   context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	good    int
	refused int
	slowest time.Duration // of the calls
	codes   map[rpc.Code]int
}

// startLoad begins with half of the goroutines sending and half calling.
func (s *system) startLoad(c *rpc.Client, goroutines int, timeout time.Duration) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{s: s, client: c, stop: cancel, codes: map[rpc.Code]int{}}
	for g := range goroutines {
		l.wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				r := s.request(fnEffect, fmt.Sprintf("%d.%d", g, i), timeout)
				got := answer{}
				if g%2 == 0 {
					r.Timeout = 0 // a one-way message with a timeout may expire instead of being handled
					got.err = s.send(c, r)
				} else {
					got = s.call(c, r)
				}
				l.note(got.err, got.took)
				time.Sleep(callerPause)
				if got.err != nil { // the broker has to come back on the same two cores
					time.Sleep(10 * callerPause)
				}
			}
		})
	}
	s.atEnd(l.end)
	return l
}

func (l *load) note(err error, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slowest = max(l.slowest, took)
	if err == nil {
		l.good++
		return
	}
	l.refused++
	l.codes[rpc.CodeOf(err)]++
}

// end stops the load and waits for what is on its way.
func (l *load) end() {
	l.stop()
	l.wg.Wait()
}

func (l *load) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("%d succeeded, %d failed by code %v, slowest call %v", l.good, l.refused, l.codes, l.slowest)
}

// backWithin waits until a call that begins after now has succeeded.
func (s *system) backWithin(c *rpc.Client, bound time.Duration) {
	s.Helper()
	began := time.Now()
	var err error
	for i := 0; ; i++ {
		if err = s.call(c, s.request(fnEcho, "back?", patience/10)).err; err == nil {
			s.Logf("back after %v, where %v are promised", time.Since(began), s.d(back))
			return
		}
		if time.Since(began) > s.d(bound)+slack {
			s.Fatalf("the service is not back after %v: %v", time.Since(began), err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
