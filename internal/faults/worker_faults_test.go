package faults

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
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

// TestWorkerKilledMidHandling: pass when the call whose worker is killed by kill -9 is answered by another worker within
// the lease (1 s) and 2 s.
func TestWorkerKilledMidHandling(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.worker(nil)
	client, _ := w.client()
	called := callLater(client, w.request("stall", "60000", 30*time.Second))
	first.await("stall-1", 1, 10*time.Second)
	w.worker(nil)
	first.kill()
	got := within(t, time.Second+2*time.Second+slack, called)
	if got.err != nil || string(got.resp.Body) != "w2" {
		t.Fatalf("%+v", got)
	}
	w.drained(10 * time.Second)
}

// TestOneWayOutlivesItsWorker: pass when one-way messages whose worker is killed while it handles them come to their end at
// another worker within the lease (1 s), 2 s and the time that they take.
func TestOneWayOutlivesItsWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.worker(nil)
	client, _ := w.client()
	const n, takes = 20, 1500 * time.Millisecond
	for i := range n {
		if err := client.Send(t.Context(), w.request("effect", fmt.Sprintf("%d %d", i, takes.Milliseconds()), 0)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 5*time.Second, "all to begin", func() bool { return len(ranTimes(t, runs(w.stream))) == n })
	w.worker(nil)
	first.kill()
	eventually(t, time.Second+2*time.Second+takes+slack, "all to end", func() bool { return len(ranTimes(t, ends(w.stream))) == n })
	w.drained(10 * time.Second)
}

// TestWorkerStoppedPastItsLease: a worker is stopped (SIGSTOP) in the middle of a request until its lease has run out, and
// continued. Pass: the other worker answers within lease + 2 s; the late end is dropped and counted (as a lost lease at the
// worker, or as a duplicate reply at the caller), the stopped worker serves on.
func TestWorkerStoppedPastItsLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.worker(nil)
	client, seen := w.client()
	called := callLater(client, w.request("stall", "700", 30*time.Second))
	first.await("stall-1", 1, 10*time.Second)
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	second := w.worker(nil)
	got := within(t, time.Second+2*time.Second+slack, called)
	if got.err != nil || string(got.resp.Body) != "w2" {
		t.Fatalf("%+v", got)
	}
	first.cont()
	eventually(t, 10*time.Second, "the late end to be counted", func() bool {
		return first.seen.get("lease-lost")+seen.get("reply-duplicate") > 0
	})
	w.drained(10 * time.Second)
	if n := seen.get("reply-unknown") + seen.get("reply-bad"); n != 0 {
		t.Errorf("the caller saw foreign replies: %v", seen.n)
	}
	second.terminate(10 * time.Second)
	if _, err := client.Call(t.Context(), w.request("echo", "x", 10*time.Second)); err != nil {
		t.Errorf("the worker that was stopped doesn't serve any more: %v", err)
	}
}

// TestLongHandlerRunsOnce: pass when handlers that take three times as long as their lease run once each, with two workers
// to compete for them.
func TestLongHandlerRunsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 2 {
		w.worker(nil)
	}
	client, _ := w.client()
	var answers []<-chan answer
	for i := range 8 {
		answers = append(answers, callLater(client, w.request("effect", strconv.Itoa(i)+" 3000", 30*time.Second)))
	}
	for i, a := range answers {
		if got := within(t, 20*time.Second, a); got.err != nil || string(got.resp.Body) != strconv.Itoa(i) {
			t.Errorf("%+v", got)
		}
	}
	w.drained(10 * time.Second)
	for name, n := range ranTimes(t, runs(w.stream)) {
		if n != "1" {
			t.Errorf("request %s ran %s times", name, n)
		}
	}
	if n := len(ranTimes(t, ends(w.stream))); n != 8 {
		t.Errorf("%d of 8 ended", n)
	}
}

// TestExpiredInTheQueueNeverRuns: pass when calls end at their deadline while the only worker is busy, and none of them
// runs later; each is counted as expired.
func TestExpiredInTheQueueNeverRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	only := w.worker(func(c *childConfig) { c.Slots = 1 })
	client, _ := w.client()
	busy := callLater(client, w.request("effect", "long 2000", 20*time.Second))
	eventually(t, 5*time.Second, "the long request to begin", func() bool { return len(ranTimes(t, runs(w.stream))) == 1 })
	var short []<-chan answer
	for i := range 20 {
		short = append(short, callLater(client, w.request("effect", "short"+strconv.Itoa(i), 300*time.Millisecond)))
	}
	for _, a := range short {
		got := within(t, 300*time.Millisecond+slack, a)
		if rpc.CodeOf(got.err) != rpc.CodeDeadlineExceeded {
			t.Errorf("got %v", got.err)
		}
	}
	if got := within(t, 15*time.Second, busy); got.err != nil {
		t.Error(got.err)
	}
	w.drained(10 * time.Second)
	if ran := ranTimes(t, runs(w.stream)); len(ran) != 1 {
		t.Errorf("expired requests ran: %v", ran)
	}
	only.await("expired-deadline", 20, 5*time.Second)
}

// TestRollingWorkers sends SIGTERM to each of two workers in turn under load. Pass: no call fails, each ran
// once, and the workers end with status 0.
func TestRollingWorkers(t *testing.T) {
	w := newWorld(t)
	workers := []*process{w.worker(nil), w.worker(nil)}
	client, _ := w.client()
	ctx, stop := context.WithCancel(context.Background())
	var calls atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for ctx.Err() == nil {
				body := fmt.Sprintf("%d 20", calls.Add(1))
				if _, err := client.Call(context.Background(), w.request("effect", body, 10*time.Second)); err != nil {
					t.Errorf("a call failed: %v", err)
				}
			}
		})
	}
	for i, old := range workers {
		time.Sleep(300 * time.Millisecond)
		if s := old.terminate(10 * time.Second); s != 0 {
			t.Errorf("worker %d ended with status %d", i, s)
		}
		if i == 0 {
			w.worker(nil)
		}
	}
	time.Sleep(300 * time.Millisecond)
	stop()
	wg.Wait()
	t.Log(calls.Load(), "calls")
	w.drained(10 * time.Second)
	for name, n := range ranTimes(t, runs(w.stream)) {
		if n != "1" {
			t.Errorf("call %s ran %s times", name, n)
		}
	}
}

// TestCrashPoisonIsQuarantined: a request's handler ends its worker's process each time, and a supervisor starts another.
// Pass: after 5 attempts the request is in the dead letter stream with cause "crashes", its caller is told that it was
// given up, and other requests were served on the way.
func TestCrashPoisonIsQuarantined(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	supervise := func() *process {
		return launch(t, roleWorker, w.config(func(c *childConfig) { c.Lease = 300 * time.Millisecond }))
	}
	client, _, d := w.clientAt(w.broker.URL, rpc.ClientConfig{NoWorkerWait: 10 * time.Second})
	current := supervise()
	poison := callLater(client, w.request("crash", "", 60*time.Second))
	ctx, stop := context.WithCancel(context.Background())
	var beside sync.WaitGroup
	good, crashes := 0, 0
	var got answer
	for given := false; !given; {
		select {
		case got = <-poison:
			given = true
		case <-current.exited:
			if s := current.status(time.Second); s != crashStatus {
				t.Fatalf("the worker ended with status %d", s)
			}
			if crashes++; crashes > 5 {
				t.Fatal("a sixth attempt was made")
			}
			current = supervise()
			if crashes > 1 {
				continue
			}
			// Not before the first crash: a request that shared all of the poison's attempts would share its end.
			beside.Go(func() {
				for ctx.Err() == nil {
					if _, err := client.Call(context.Background(), w.request("echo", "good", 30*time.Second)); err != nil {
						t.Errorf("beside the poison: %v", err)
						return
					}
					good++
					time.Sleep(20 * time.Millisecond)
				}
			})
		case <-time.After(30 * time.Second):
			t.Fatalf("no end after %d crashes", crashes)
		}
	}
	stop()
	beside.Wait()
	if good == 0 {
		t.Error("no other request was served")
	}
	if crashes != 5 || rpc.CodeOf(got.err) != rpc.CodeAborted {
		t.Errorf("%d crashes, then %v", crashes, got.err)
	}
	eventually(t, 5*time.Second, "the dead letter", func() bool { return len(w.dead(d)) > 0 })
	dead := w.dead(d)
	if len(dead) != 1 || dead[0].Header.Get(rpc.DeadHeaderCause) != string(rpc.DeadCrashes) || dead[0].Function != "crash" {
		t.Errorf("dead letters: %+v", dead)
	}
	w.drained(10 * time.Second)
}

// TestFailingOneWay: pass when a one-way message whose handler fails is tried once more after each delay, and is then a dead
// letter with cause "failed", the handler's error and the number of attempts.
func TestFailingOneWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.worker(func(c *childConfig) { c.RetryDelays = []time.Duration{50 * time.Millisecond, 100 * time.Millisecond} })
	client, _, d := w.clientAt(w.broker.URL, rpc.ClientConfig{})
	if err := client.Send(t.Context(), w.request("fail", "", 0)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the dead letter", func() bool { return len(w.dead(d)) > 0 })
	h := w.dead(d)[0].Header
	if h.Get(rpc.DeadHeaderCause) != string(rpc.DeadFailed) || h.Get(rpc.DeadHeaderAttempts) != "3" || !strings.Contains(h.Get(rpc.DeadHeaderError), "on purpose") {
		t.Errorf("dead letter %v", h)
	}
	w.drained(10 * time.Second)
}

// TestNobodyServes: pass when a call fails with unavailable, not published, within 1 s: on a stream that never had a worker,
// and after the last worker was killed (its sign of life lasts 2 s); and when a worker that comes in between is used within
// 1 s.
func TestNobodyServes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	client, _ := w.client()
	refused := func() {
		t.Helper()
		got := within(t, time.Second+slack, callLater(client, w.request("echo", "x", 20*time.Second)))
		e, ok := got.err.(*rpc.Error)
		if !ok || e.Code != rpc.CodeUnavailable || e.Published != transport.OutcomeRejected || e.RetryAfter == 0 {
			t.Errorf("got %+v", got.err)
		}
	}
	refused()
	p := w.worker(nil)
	(&load{w: w, client: client}).backWithin(time.Second + slack)
	p.kill()
	time.Sleep(2*time.Second + 500*time.Millisecond)
	refused()
}
