package conformance

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
)

// Rule: of 10,000 frames that can't be decoded (2,000 with Harness.Short), beside good calls, every one is in the dead letter
// stream as it was, with cause "undecodable" and a text, once unless it was delivered again; no good call fails.
func poison10k(s *system) {
	const chunk = 100
	total := 10_000
	if s.h.Short {
		total = 2_000
	}
	a, b := s.local(nil), s.local(nil)
	c, _ := s.client(nil)
	ctx, stop := context.WithCancel(context.Background())
	var good atomic.Int64
	var beside sync.WaitGroup
	for range 8 {
		beside.Go(func() {
			for ctx.Err() == nil {
				if got := s.call(c, s.request(fnEcho, "good", 4*patience)); got.err != nil {
					s.Errorf("a good call failed: %v", got.err)
					return
				}
				good.Add(1)
				time.Sleep(callerPause)
			}
		})
	}
	s.atEnd(func() { stop(); beside.Wait() })
	for i := 0; i < total; i += chunk {
		frames := make([][]byte, chunk)
		for j := range frames {
			frames[j] = fmt.Appendf(nil, "poison%d", i+j)
		}
		s.raw(frames...)
		// No faster than they are buried: a transport may bound what waits.
		s.until(4*patience, "the dead letters to keep up", func() bool { return len(s.deadLetters()) > i-20*chunk })
	}
	s.until(8*patience, "all dead letters", func() bool { return s.ledger.buried() >= total })
	stop()
	beside.Wait()
	frames := map[string]int{}
	for _, l := range s.deadLetters() {
		frames[string(l.Frame)]++
		if l.Header.Get(rpc.DeadHeaderCause) != string(rpc.DeadUndecodable) || l.Header.Get(rpc.DeadHeaderError) == "" || l.Header.Get(rpc.DeadHeaderStream) != s.stream {
			s.Fatalf("dead letter %v", l.Header)
		}
	}
	for i := range total {
		if frames[fmt.Sprintf("poison%d", i)] == 0 {
			s.Fatalf("frame %d is not in the dead letter stream", i)
		}
	}
	if more, again := len(s.deadLetters())-total, a.seen.get("redelivered")+b.seen.get("redelivered"); more > again {
		s.Errorf("%d frames are in the dead letter stream once more, and only %d were delivered again", more, again)
	}
	s.Logf("%d frames beside %d good calls", total, good.Load())
}

// blocked is a driver whose dead letter stream takes nothing while it is shut: what a full disk or a missing right makes of it.
type blocked struct {
	transport.Driver
	stream string
	shut   atomic.Bool
	struck atomic.Int64
}

type blockedConsumer struct {
	transport.Consumer
	d *blocked
}

func (d *blocked) Join(ctx context.Context, sub transport.Subscription) (transport.Consumer, error) {
	c, err := d.Driver.Join(ctx, sub)
	if err != nil {
		return nil, err
	}
	return &blockedConsumer{c, d}, nil
}

func (c *blockedConsumer) Settle(ctx context.Context, batch []transport.Settlement, errs []error) {
	if !c.d.shut.Load() {
		c.Consumer.Settle(ctx, batch, errs)
		return
	}
	var passed []transport.Settlement
	var at []int
	for i, st := range batch {
		if st.Reply != nil && st.Reply.Stream == c.d.stream {
			errs[i] = &transport.Error{Code: transport.CodeFull, Op: "publish", Stream: c.d.stream, Msg: "shut by the scenario"}
			c.d.struck.Add(1)
			continue
		}
		passed, at = append(passed, st), append(at, i)
	}
	if len(passed) == 0 {
		return
	}
	got := make([]error, len(passed))
	c.Consumer.Settle(ctx, passed, got)
	for i, err := range got {
		errs[at[i]] = err
	}
}

// Rule: while the dead letter stream refuses what should go there, the requests that belong there stay pending, nothing of them is
// acked away, and good calls are served; once it takes them they are there, and the stream drains.
func deadLetterUnavailable(s *system) {
	const poison = 50
	d, r := s.recorded("shut")
	b := &blocked{Driver: d, stream: rpc.DeadStream(s.stream)}
	b.shut.Store(true)
	w := s.localOn(b, r, nil)
	c, _ := s.client(nil)
	for i := range poison {
		s.raw(fmt.Appendf(nil, "poison%d", i))
	}
	s.raw(s.frame(wire.KindSend, &wire.Envelope{Function: "missing", Body: []byte("nobody")}))
	s.until(2*patience, "all to be refused", func() bool { return b.struck.Load() > poison })
	for range 20 {
		if got := s.call(c, s.request(fnEcho, "good", 2*patience)); got.err != nil {
			s.Errorf("while dead letters are refused: %v", got.err)
		}
	}
	time.Sleep(s.d(steadyLease)) // they have to be kept for longer than a lease
	if l := s.lag(s.admin, s.stream, rpc.DefaultGroup); l.Pending >= 0 && l.Pending != poison+1 {
		s.Errorf("%d requests are pending, want the %d whose dead letters were refused", l.Pending, poison+1)
	}
	if n := len(s.deadLetters()); n != 0 {
		s.Errorf("%d dead letters came through", n)
	}
	b.shut.Store(false)
	s.until(2*patience, "the dead letters", func() bool { return len(s.deadLetters()) >= poison+1 })
	s.drained()
	if n := len(s.deadLetters()); n > poison+1+w.seen.get("redelivered") {
		s.Errorf("%d dead letters of %d requests", n, poison+1)
	}
}
