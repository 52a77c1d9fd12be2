package kafka

import (
	"testing"
	"time"

	"github.com/streamerson/streamerson/transport"
)

type nobody struct{ left bool }

func (n *nobody) gone() bool      { return n.left }
func (n *nobody) answered([]*ask) {}

// Who asks for the same partition goes with one fetch, whatever the order in which they came, and nobody is left out.
func TestAsksForTheSameGoTogether(t *testing.T) {
	var quiet, busy batchOfAsks
	asks := make([]*ask, 5)
	for i := range asks {
		asks[i] = &ask{target: target{"t", 0}, asker: &nobody{}, offset: 7}
	}
	for _, a := range asks[:3] {
		if !quiet.put(a) {
			t.Error("asks for the same don't go together")
		}
	}
	other := &ask{target: target{"t", 0}, asker: &nobody{}, offset: 8}
	if busy.put(asks[3]); busy.put(other) {
		t.Error("asks for two parts of a partition went together: a fetch may name it only once")
	}
	for _, a := range quiet.asks {
		busy.put(a)
	}
	busy.put(asks[4])
	if len(busy.asks) != 1 || len(expand(busy.asks)) != 5 {
		t.Errorf("%d asks, of %d askers", len(busy.asks), len(expand(busy.asks)))
	}
}

// Several groups of one process and several readers of one shared lane read the same partitions, busy and quiet.
func TestReadersOfOnePartition(t *testing.T) {
	d := open(t, transport.Options{})
	s := "t" + newID()
	groups := []string{"a", "b", "c", "d", "e"}
	if err := d.Ensure(within(t, 3*loaded), []transport.StreamSpec{{Stream: s, Groups: groups}}); err != nil {
		t.Fatal(err)
	}
	var lanes []transport.Tailer
	var consumers []transport.Consumer
	for _, g := range groups {
		lane, err := d.Tail(within(t, 3*loaded), transport.TailSpec{Name: s, Shared: true})
		if err != nil {
			t.Fatal(err)
		}
		c, err := d.Join(t.Context(), transport.Subscription{Group: g})
		if err != nil {
			t.Fatal(err)
		}
		lanes, consumers = append(lanes, lane), append(consumers, c)
	}
	for range 3 {
		send(t, d, s, "x")
		r := make([]transport.Result, 1)
		if d.Publish(within(t, 3*loaded), []transport.Message{{Stream: transport.SharedLane(s), Lane: true, Body: []byte("y")}}, r); r[0].Err != nil {
			t.Fatal(r[0].Err)
		}
		for i := range groups {
			got := receive(t, consumers[i], 3*loaded, 1, s)
			if string(got[0].Body) != "x" {
				t.Fatalf("group %s got %q", groups[i], got[0].Body)
			}
			got[0].Body[0] = '!' // it belongs to this receiver alone
			ack(t, consumers[i], got...)
			bodies, err := lanes[i].Receive(within(t, 3*loaded), 10)
			if err != nil || len(bodies) != 1 || string(bodies[0]) != "y" {
				t.Fatalf("lane %d: %q, %v", i, bodies, err)
			}
			bodies[0][0] = '!'
		}
		time.Sleep(busyFor + 200*time.Millisecond)
	}
}

// told is an asker that says when it was answered.
type told chan struct{}

func (told) gone() bool          { return false }
func (c told) answered(_ []*ask) { close(c) }

// A leader that others have found meanwhile is as good as one that was sought.
func TestLeaderFoundByOthers(t *testing.T) {
	d := open(t, transport.Options{})
	s := "t" + newID()
	if err := d.Ensure(within(t, 3*loaded), []transport.StreamSpec{{Stream: s, Groups: []string{"g"}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.cl.leaders(within(t, 3*loaded), s); err != nil {
		t.Fatal(err)
	}
	c := make(told)
	f := d.reads
	f.mu.Lock()
	f.waiting, f.seeking = append(f.waiting, &ask{target: target{s, 0}, asker: c, most: 1 << 10, atOnce: true}), true
	f.mu.Unlock()
	f.seek()
	select {
	case <-c:
	case <-time.After(3 * loaded):
		t.Error("the ask still waits, with nobody who would send it")
	}
}
