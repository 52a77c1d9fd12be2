package redis

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// withBell is a consumer of more than manyStreams streams that has read all once, and sweeps no more: all that it finds has rung.
func withBell(t *testing.T) (d *Driver, c *consumer, streams []string, receive func(limit int) map[string]int) {
	t.Helper()
	d, _ = open(t)
	streams = several(t, d, 2*manyStreams)
	c = join(t, d, time.Minute)
	credits := make([]transport.Credit, len(streams))
	receive = func(limit int) map[string]int {
		t.Helper()
		for i, s := range streams {
			credits[i] = transport.Credit{Stream: s, Max: limit}
		}
		ds, err := c.Receive(within(t, 10*time.Second), limit, credits)
		if err != nil {
			t.Fatal(err)
		}
		ok(t, settle(t, c, transport.Ack, ds...))
		got := map[string]int{}
		for _, x := range ds {
			got[x.Stream]++
		}
		return got
	}
	for i := 0; i < 3 || c.bell.conn == nil; i++ { // the first turns have no connection yet
		if i == 10 {
			t.Fatal("the bell is not hung up")
		}
		accepted(t, d, msgs(streams[i], "x")...)
		for receive(256)[streams[i]] == 0 {
		}
	}
	for _, cs := range c.byName {
		cs.rung = false
	}
	c.nextSweep = math.MaxInt64
	return d, c, streams, receive
}

func TestWhateverIsAddedRings(t *testing.T) {
	_, _, streams, receive := withBell(t)
	rdb := admin(t, shared.Addr)
	for i := range 20 {
		s := streams[7*i%len(streams)]
		if err := rdb.Do(t.Context(), "xadd", streamKey(s), "*", bodyField, "from somebody else").Err(); err != nil {
			t.Fatal(err)
		}
		if got := receive(256); len(got) != 1 || got[s] != 1 {
			t.Fatalf("after one entry on %s: %v", s, got)
		}
	}
}

func TestWhatHasNoRoomIsNotForgotten(t *testing.T) {
	d, c, streams, receive := withBell(t)
	for _, limit := range []int{1, 3, manyStreams, 1000} {
		want := map[string]int{}
		for i, s := range streams {
			want[s] = 1 + i%5
			accepted(t, d, msgs(s, make([]string, want[s])...)...)
		}
		for len(want) > 0 {
			for s, n := range receive(limit) {
				if want[s] -= n; want[s] == 0 {
					delete(want, s)
				} else if want[s] < 0 || !c.byName[s].rung {
					t.Fatalf("limit %d: %d are left on %s, which counts as rung: %v", limit, want[s], s, c.byName[s].rung)
				}
			}
		}
	}
}

func TestTheBellIsHungUpAgain(t *testing.T) {
	d, c, streams, receive := withBell(t)
	before := c.bell.conn
	c.link.abort()
	accepted(t, d, msgs(streams[9], "unheard")...)
	credits := make([]transport.Credit, len(streams))
	for i, s := range streams {
		credits[i] = transport.Credit{Stream: s, Max: 1}
	}
	if ds, err := c.Receive(within(t, 10*time.Second), 1, credits); err == nil { // the broken connection may be told of first
		ok(t, settle(t, c, transport.Ack, ds...))
	} else if got := receive(256); got[streams[9]] != 1 {
		t.Fatalf("what came while there was no bell: %v", got)
	}
	for i := 10; c.bell.conn == before || c.bell.conn == nil; i++ {
		if i == 20 {
			t.Fatal("the bell is not hung up again")
		}
		accepted(t, d, msgs(streams[i], "heard")...)
		for receive(256)[streams[i]] == 0 {
		}
	}
}

// Without FLUSHALL the broker's other users are spared; the deletion of a stream is the same to its reader.
func TestADeletedStreamRings(t *testing.T) {
	d, _, streams, receive := withBell(t)
	if err := admin(t, shared.Addr).Del(t.Context(), streamKey(streams[5])).Err(); err != nil {
		t.Fatal(err)
	}
	done := make(chan map[string]int)
	go func() { done <- receive(256) }()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var r [1]transport.Result
		if d.Publish(t.Context(), msgs(streams[5], "anew"), r[:]); r[0].Outcome == transport.OutcomeAccepted {
			break
		}
		if time.Now().After(end) {
			t.Fatal(r[0].Err)
		}
	}
	if got := <-done; got[streams[5]] != 1 {
		t.Fatal(got)
	}
}

func TestAWaitForTheBellCanBeEnded(t *testing.T) {
	d, c, streams, receive := withBell(t)
	credits := []transport.Credit{}
	for _, s := range streams {
		credits = append(credits, transport.Credit{Stream: s, Max: 8})
	}
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			_, err := c.Receive(ctx, 8, credits)
			ended <- err
		}()
		cancel()
		if err := <-ended; err == nil {
			t.Fatal("it had nothing to return")
		}
	}
	accepted(t, d, msgs(streams[3], "after")...)
	if got := receive(8); got[streams[3]] != 1 {
		t.Fatal(got)
	}
	go func() {
		time.Sleep(20 * time.Millisecond)
		_ = c.Close(context.Background())
	}()
	if _, err := c.Receive(within(t, 10*time.Second), 8, credits); !transport.IsCode(err, transport.CodeClosed) {
		t.Errorf("a Receive that Close ends: %v", err)
	}
}

// A push may stand before a reply, in several pieces, and name what nobody knows.
func TestPushes(t *testing.T) {
	one, two := &consumerStream{}, &consumerStream{}
	b := bell{names: map[string]*consumerStream{"one": one, "two": two}}
	b.heard([]byte(">2\r\n$10\r\ninvalidate\r\n*4\r\n$17\r\nstreamerson:{one}\r\n$24\r\nstreamerson:{two}:live:g\r\n$13\r\nstreamerson:{\r\n$19\r\nstreamerson:{three}\r\n"))
	if !one.rung || two.rung || b.all {
		t.Errorf("one %v, two %v, all %v", one.rung, two.rung, b.all)
	}
	b.heard([]byte(">2\r\n$10\r\ninvalidate\r\n_\r\n"))
	if !b.all {
		t.Error("after FLUSHALL all streams may have changed")
	}
}
