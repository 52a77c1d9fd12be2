package nats

import (
	"context"
	"testing"
	"time"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/transport"
)

type toldOnce chan transport.Result

func (t toldOnce) Told(r transport.Result) { t <- r }

func (t toldOnce) wait(tb testing.TB) transport.Result {
	tb.Helper()
	select {
	case r := <-t:
		return r
	case <-time.After(4 * within):
		tb.Fatal("the outcome was not told")
		panic("unreachable")
	}
}

func publishLate(t *testing.T, d *Driver, l transport.Tailer) toldOnce {
	t.Helper()
	to := make(toldOnce, 2)
	if !d.PublishLate(&transport.Message{Stream: l.Address(), Lane: true, Body: []byte("x")}, to) {
		t.Fatal("the driver doesn't take it late")
	}
	return to
}

// Messages that follow each other share their question, full batches begin new ones, and the subjects are used again.
func TestLateOutcomesShareAQuestion(t *testing.T) {
	n := server(t, brokers.NATSConfig{})
	for _, url := range []string{n.URL, "nats+core://" + n.Addr} {
		d, _ := open(t, url)
		l := lane(t, d)
		before := d.nc.Stats().OutMsgs
		const rounds, size = 3, 2*lateMost + 10
		for range rounds {
			var all []toldOnce
			for range size {
				all = append(all, publishLate(t, d, l))
			}
			for _, to := range all {
				if r := to.wait(t); r.Outcome != transport.OutcomeAccepted {
					t.Fatalf("%v: %v", r.Outcome, r.Err)
				}
			}
		}
		if more := d.nc.Stats().OutMsgs - before - rounds*size; more > rounds*size/10 {
			t.Errorf("%s: %d messages took %d questions", url, rounds*size, more)
		}
		d.lates.mu.Lock()
		if len(d.lates.open) > 0 || len(d.lates.free) == 0 {
			t.Errorf("%s: %d batches are open, %d free", url, len(d.lates.open), len(d.lates.free))
		}
		d.lates.mu.Unlock()
	}
}

// What went to a server that is lost before it said anything is unknown, and so is what may have gone over two connections.
func TestLateOutcomeOfALostConnection(t *testing.T) {
	n := server(t, brokers.NATSConfig{NoJetStream: true})
	d, _ := open(t, "nats+core://"+n.Addr)
	l := lane(t, d)
	to := publishLate(t, d, l)
	d.dials.Add(1) // as if the connection had been replaced before the question was sent
	if r := to.wait(t); r.Outcome != transport.OutcomeUnknown || !transport.IsCode(r.Err, transport.CodeUnavailable) {
		t.Errorf("asked over another connection: %v with %v, want unknown", r.Outcome, r.Err)
	}
	if err := n.Pause(); err != nil {
		t.Fatal(err)
	}
	to = publishLate(t, d, l)
	if err := n.Kill9(); err != nil {
		t.Fatal(err)
	}
	if r := to.wait(t); r.Outcome != transport.OutcomeUnknown || !transport.IsCode(r.Err, transport.CodeUnavailable) {
		t.Errorf("the server was killed: %v with %v, want unknown", r.Outcome, r.Err)
	}
	for up := true; up; time.Sleep(time.Millisecond) {
		_, up = d.link.current()
	}
	if d.PublishLate(&transport.Message{Stream: l.Address(), Lane: true, Body: []byte("x")}, to) {
		t.Error("without a connection it takes a message late")
	}
	if err := d.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if len(to) > 0 {
		t.Error("an outcome was told twice")
	}
}

// A server that answers nothing leaves outcomes unknown once the time is up.
func TestLateOutcomeOfASilentServer(t *testing.T) {
	n := server(t, brokers.NATSConfig{NoJetStream: true})
	d, _ := open(t, "nats+core://"+n.Addr+"?timeout=300ms")
	l := lane(t, d)
	if err := n.Pause(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Resume() })
	if r := publishLate(t, d, l).wait(t); r.Outcome != transport.OutcomeUnknown {
		t.Errorf("%v with %v, want unknown", r.Outcome, r.Err)
	}
}
