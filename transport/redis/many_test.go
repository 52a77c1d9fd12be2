package redis

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// several ensures n streams with a common prefix.
func several(t *testing.T, d *Driver, n int) []string {
	t.Helper()
	streams, specs := make([]string, n), make([]transport.StreamSpec, n)
	for i := range n {
		streams[i] = fmt.Sprintf("%s.%d", name(t), i)
		specs[i] = transport.StreamSpec{Stream: streams[i], Groups: []string{group}}
	}
	if err := d.Ensure(t.Context(), specs); err != nil {
		t.Fatal(err)
	}
	return streams
}

// withAndWithoutBell runs f on brokers that can tell what was added, and on those that can't.
func withAndWithoutBell(t *testing.T, f func(t *testing.T, d *Driver, ev *events, c *consumer)) {
	for what, refused := range map[string]bool{"bell": false, "sweeps": true} {
		t.Run(what, func(t *testing.T) {
			d, ev := open(t)
			c := join(t, d, time.Minute)
			c.bell.refused = refused
			f(t, d, ev, c)
			if hung := c.bell.conn != nil; hung == refused {
				t.Errorf("the bell is hung up: %v, refused: %v", hung, refused)
			}
		})
	}
}

func TestManyStreamsAreReadWithinTheCredits(t *testing.T) {
	withAndWithoutBell(t, readWithinTheCredits)
}

func readWithinTheCredits(t *testing.T, d *Driver, ev *events, c *consumer) {
	streams := several(t, d, 3*manyStreams)
	const each = 5
	for _, limit := range []int{sweepLeast - 1, sweepLeast + 8, 4 * manyStreams} {
		want := map[string]int{}
		for i, s := range streams {
			n := each
			if i == manyStreams {
				n = 10 * burst // becomes busy
			}
			accepted(t, d, msgs(s, slices.Repeat([]string{"x"}, n)...)...)
			want[s] = n
		}
		// Ten streams have a slot of their own; two of them may use no other.
		credits := make([]transport.Credit, len(streams))
		for i, s := range streams {
			credits[i] = transport.Credit{Stream: s, Max: limit}
			if i%(len(streams)/10) == 0 {
				credits[i].Own = 1
			}
		}
		credits[0].Max, credits[len(streams)/10].Max = 1, 1
		for len(want) > 0 {
			ds, err := c.Receive(within(t, 10*time.Second), limit, credits)
			if err != nil {
				t.Fatalf("limit %d: %d streams have something left: %v", limit, len(want), err)
			}
			ledger := transport.NewLedger(limit, credits)
			for _, x := range ds {
				i := slices.Index(streams, x.Stream)
				if ledger.Allow(i) < 1 {
					t.Fatalf("limit %d: a delivery of stream %d is beyond what the credits allow", limit, i)
				}
				ledger.Take(i, 1)
				if want[x.Stream]--; want[x.Stream] == 0 {
					delete(want, x.Stream)
				}
			}
			ok(t, settle(t, c, transport.Ack, ds...))
		}
	}
	if n := ev.count(transport.EventSurplus); n > 0 {
		t.Errorf("%d deliveries were beyond the credits and had to be given back", n)
	}
}

func TestAQuietStreamIsReadBesideABusyOne(t *testing.T) {
	withAndWithoutBell(t, quietBesideBusy)
}

func quietBesideBusy(t *testing.T, d *Driver, _ *events, c *consumer) {
	streams := several(t, d, 2*manyStreams)
	ctx, cancel := context.WithCancel(t.Context())
	flood := make(chan struct{})
	defer func() { cancel(); <-flood }()
	go func() {
		defer close(flood)
		for m := msgs(streams[0], slices.Repeat([]string{"busy"}, 2*burst)...); ctx.Err() == nil; {
			d.Publish(ctx, m, make([]transport.Result, len(m)))
		}
	}()
	credits := make([]transport.Credit, len(streams))
	for i, s := range streams {
		credits[i] = transport.Credit{Stream: s, Max: 256}
	}
	narrow, end := false, time.Now().Add(20*time.Second)
	for i := 1; i <= 3; i++ {
		accepted(t, d, msgs(streams[i*20], "quiet")...)
		for came := false; !came; {
			ds, err := c.Receive(within(t, 10*time.Second), 256, credits)
			if err != nil || time.Now().After(end) {
				t.Fatalf("quiet stream %d was not read: %v", i, err)
			}
			for _, x := range ds {
				came = came || x.Stream == streams[i*20]
			}
			ok(t, settle(t, c, transport.Ack, ds...))
			narrow = narrow || len(c.hotWants) == 1
		}
	}
	if !narrow {
		t.Error("the busy stream was never read alone")
	}
}
