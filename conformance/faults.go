package conformance

import (
	"context"
	"fmt"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// comeBack bounds how long a driver may take until it works again after the broker does, before Harness.Slow.
const comeBack = 5 * time.Second

// after does something to the broker while a consumer waits in Receive, then publishes until a message of afterwards has
// come through the same consumer.
func (e *Env) after(d transport.Driver, c transport.Consumer, s string, do func(context.Context) error) {
	e.Helper()
	ctx, cancel := e.ctx(4 * patience)
	defer cancel()
	done := make(chan error, 1)
	time.AfterFunc(e.d(quiet), func() { done <- do(ctx) })
	got := map[string]bool{}
	started, n := false, 0
	var deadline time.Time
	for {
		short, stop := e.ctx(100 * time.Millisecond)
		ds, _ := c.Receive(short, 10, creditsFor(10, s)) // errors are to be expected here
		stop()
		for _, x := range ds {
			got[string(x.Body)] = true
		}
		if len(ds) > 0 && !started {
			e.ack(c, ds...)
		}
		if len(ds) > 0 && started {
			if e.settle(c, transport.Ack, ds...)[0] == nil && got[fmt.Sprint("after ", n)] {
				return
			}
		}
		select {
		case err := <-done:
			if err != nil {
				e.Fatalf("harness: %v", err)
			}
			started, deadline = true, time.Now().Add(e.d(comeBack))
		default:
		}
		if !started {
			continue
		}
		if time.Now().After(deadline) {
			e.Fatalf("no message came through within %v", e.d(comeBack))
		}
		if r := e.try(d, messages(s, false, []string{fmt.Sprint("after ", n+1)})...)[0]; r.Err == nil {
			n++
		} else {
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// Rule: after all data was deleted under a waiting consumer, publishing and receiving work again within 5 s on the same
// drivers, streams and groups having been made again; so does a lane, whose address stays valid.
func wipe(e *Env) {
	d, sender := e.open(), e.open()
	s := e.stream(d, group)
	e.ensure(sender, transport.StreamSpec{Stream: s, Groups: []string{group}})
	c, t := e.join(d, group, longLease), e.tail(d, transport.TailSpec{Name: "lane"})
	e.after(sender, c, s, e.h.Broker.Wipe)
	e.laneWorks(sender, t)
}

func (e *Env) laneWorks(sender transport.Driver, t transport.Tailer) {
	e.Helper()
	var r transport.Result
	e.eventually(func() bool {
		r = e.try(sender, messages(t.Address(), true, []string{"lane"})...)[0]
		return r.Err == nil
	}, func() string { return fmt.Sprintf("publishing to the lane: %v, %v", r.Outcome, r.Err) })
	if diff := difference(e.read(t, 1), []string{"lane"}); diff != "" {
		e.Errorf("lane: %s", diff)
	}
}

// Rule: an orderly restart loses no accepted message where Durability is process-crash or better, and service is back within
// 5 s of the broker on the same drivers and lanes.
func restart(e *Env) {
	d, sender := e.open(), e.open()
	s, kept := e.stream(d, group), e.stream(d, group)
	e.ensure(sender, transport.StreamSpec{Stream: s, Groups: []string{group}}, transport.StreamSpec{Stream: kept, Groups: []string{group}})
	want := numbered(100)
	c, t := e.join(d, group, longLease), e.tail(d, transport.TailSpec{Name: "lane"})
	e.publish(sender, kept, want...)
	e.after(sender, c, s, e.h.Broker.Restart)
	e.laneWorks(sender, t)
	if d.Capabilities().Durability < transport.DurabilityProcess {
		return
	}
	got := e.receive(c, len(want), kept)
	if diff := sameSet(bodiesOf(got), want); diff != "" {
		e.Errorf("kept over the restart: %s", diff)
	}
	e.ack(c, got...)
}
