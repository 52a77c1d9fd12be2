package faults

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamerson/streamerson/rpc"
)

// load is steady traffic of one-way messages and calls, each with an effect of its own name in the ledger.
type load struct {
	w      *world
	client *rpc.Client
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	sent     map[string]bool // all that were published, whatever became of them
	accepted map[string]bool // those that the system took responsibility for
	refused  int
	slowest  time.Duration // of the calls
	lastGood time.Time     // when the last call succeeded
	codes    map[rpc.Code]int
}

// loadPause keeps the load below what two workers can do: in a growing queue calls would expire, and rightly so.
const loadPause = 10 * time.Millisecond

// startLoad begins with half of the goroutines sending and half calling.
func (w *world) startLoad(client *rpc.Client, goroutines int, timeout time.Duration) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{w: w, client: client, cancel: cancel, sent: map[string]bool{}, accepted: map[string]bool{}, codes: map[rpc.Code]int{}}
	for g := range goroutines {
		l.wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				name := fmt.Sprintf("%d.%d", g, i)
				r := w.request("effect", name, timeout)
				began := time.Now()
				var err error
				if g%2 == 0 {
					r.Timeout = 0 // a one-way message with a timeout may expire instead of being handled
					err = client.Send(context.Background(), r)
				} else {
					_, err = client.Call(context.Background(), r)
				}
				l.note(name, g%2 == 1, err, time.Since(began))
				time.Sleep(loadPause)
			}
		})
	}
	w.t.Cleanup(cancel)
	return l
}

func (l *load) note(name string, call bool, err error, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent[name] = true
	if err == nil {
		l.accepted[name] = true
	} else {
		l.refused++
		l.codes[rpc.CodeOf(err)]++
	}
	if call {
		l.slowest = max(l.slowest, took)
		if err == nil {
			l.lastGood = time.Now()
		}
	}
}

// backWithin waits until a call that began after now has succeeded.
func (l *load) backWithin(bound time.Duration) time.Duration {
	l.w.t.Helper()
	began := time.Now()
	for {
		_, err := l.client.Call(context.Background(), l.w.request("echo", "back?", 500*time.Millisecond))
		switch {
		case err == nil:
			return time.Since(began)
		case time.Since(began) > bound:
			l.w.t.Fatalf("the service is not back after %v: %v", bound, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// end stops the load.
func (l *load) end() {
	l.cancel()
	l.wg.Wait()
}

// nothingLost checks that everything that was accepted ran, and that nothing ran which nobody sent.
func (l *load) nothingLost(within time.Duration) {
	t := l.w.t
	t.Helper()
	var lost []string
	for end := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		ran := ranTimes(t, runs(l.w.stream))
		lost = lost[:0]
		for name := range l.accepted {
			if ran[name] == "" {
				lost = append(lost, name)
			}
		}
		for name := range ran {
			if !l.sent[name] {
				t.Fatalf("request %s ran, but nobody sent it", name)
			}
		}
		if len(lost) == 0 || time.Now().After(end) {
			break
		}
	}
	if len(lost) > 0 {
		t.Errorf("%d of %d accepted requests never ran: %.200v", len(lost), len(l.accepted), lost)
	}
	t.Logf("sent %d, accepted %d, refused %d by code %v, slowest call %v", len(l.sent), len(l.accepted), l.refused, l.codes, l.slowest)
	if len(l.accepted) == 0 {
		t.Error("nothing was accepted: the test shows nothing")
	}
}

// TestBrokerKilledAndRestarted kills Redis (AOF everysec) with kill -9 under load and starts it again. Pass: every accepted
// one-way message and answered call ran; calls succeed within 2 s after the port is open.
func TestBrokerKilledAndRestarted(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		w.worker(nil)
	}
	client, _ := w.client()
	l := w.startLoad(client, 16, 2*time.Second)
	time.Sleep(time.Second)
	// More than there are slots for, so that some wait in the stream and some are being handled at the moment of the kill.
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() {
			name := fmt.Sprintf("burst.%d", i)
			l.note(name, false, client.Send(context.Background(), w.request("effect", name+" 100", 0)), 0)
		})
	}
	wg.Wait()
	if err := w.broker.Kill9(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	if err := w.broker.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("back after %v", l.backWithin(2*time.Second+slack))
	time.Sleep(500 * time.Millisecond)
	l.end()
	l.nothingLost(15 * time.Second)
	w.drained(15 * time.Second)
}

// TestBrokerStopped stops Redis for 3 s (SIGSTOP: its connections stay open and nothing answers) under load. Pass: in the
// meantime each call ends at its deadline at the latest, with unavailable or deadline exceeded; calls succeed within 2 s
// after SIGCONT; nothing that was accepted is lost.
func TestBrokerStopped(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		w.worker(nil)
	}
	client, _ := w.client()
	const timeout = time.Second
	l := w.startLoad(client, 16, timeout)
	time.Sleep(500 * time.Millisecond)
	if err := w.broker.Pause(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second)
	if err := w.broker.Resume(); err != nil {
		t.Fatal(err)
	}
	t.Logf("back after %v", l.backWithin(2*time.Second+slack))
	l.end()
	if l.slowest > timeout+slack {
		t.Errorf("a call took %v for a deadline of %v", l.slowest, timeout)
	}
	for code, n := range l.codes {
		if code != rpc.CodeUnavailable && code != rpc.CodeDeadlineExceeded {
			t.Errorf("%d failed with %v", n, code)
		}
	}
	if l.refused == 0 {
		t.Error("nothing was refused: the broker wasn't stopped")
	}
	l.nothingLost(15 * time.Second)
	w.drained(15 * time.Second)
}

// inFlight is how long after the last use of a connection a request may still go out on it unchecked. One that does so in
// the moment of the broker's death is in flight like those before it: it may be stored, so its caller waits.
const inFlight = 100 * time.Millisecond

// TestBrokerUnreachable: pass when calls that begin while the broker is dead fail with unavailable within 1 s, and calls
// succeed within 2 s after it is back.
func TestBrokerUnreachable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.worker(nil)
	client, _ := w.client()
	if _, err := client.Call(t.Context(), w.request("echo", "x", 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := w.broker.Kill9(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(inFlight)
	for i := range 5 {
		got := within(t, time.Second+slack, callLater(client, w.request("echo", "x", 20*time.Second)))
		if rpc.CodeOf(got.err) != rpc.CodeUnavailable {
			t.Errorf("call %d: %v", i, got.err)
		}
	}
	if client.Ready() == nil {
		eventually(t, 2*time.Second+slack, "the client not to be ready", func() bool { return client.Ready() != nil })
	}
	if err := w.broker.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	l := &load{w: w, client: client}
	l.backWithin(2*time.Second + slack)
	eventually(t, 2*time.Second+slack, "the client to be ready", func() bool { return client.Ready() == nil })
}

// TestEverythingDeleted: FLUSHALL and then DEL of the live stream, under load. Pass: after each, calls succeed within 5 s,
// ten in a row.
func TestEverythingDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.worker(nil)
	client, _ := w.client()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var wg sync.WaitGroup
	var good atomic.Int64
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := client.Call(ctx, w.request("echo", "x", time.Second)); err == nil {
					good.Add(1)
				}
			}
		})
	}
	tenInARow := func(what string) {
		t.Helper()
		began := time.Now()
		row := 0
		eventually(t, 5*time.Second+slack, "ten good calls after "+what, func() bool {
			for ; row < 10; row++ {
				if _, err := client.Call(ctx, w.request("echo", "y", 500*time.Millisecond)); err != nil {
					row = 0
					return false
				}
			}
			return true
		})
		t.Logf("back %v after %s", time.Since(began), what)
	}
	tenInARow("the start")
	if err := w.admin.FlushAll(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	tenInARow("FLUSHALL")
	if n, err := w.admin.Del(ctx, w.key()).Result(); err != nil || n != 1 {
		t.Fatalf("DEL: %d, %v", n, err)
	}
	tenInARow("DEL")
	stop()
	wg.Wait()
	if good.Load() == 0 {
		t.Error("no load")
	}
	w.drained(10 * time.Second)
}
