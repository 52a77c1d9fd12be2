package parts

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/streamerson/streamerson/bench/load"
	"github.com/streamerson/streamerson/bench/role"
	"github.com/streamerson/streamerson/rpc"
)

func TestWorkIsInProportion(t *testing.T) {
	one, four := turns(time.Millisecond), turns(4*time.Millisecond)
	if one < 1000 || four < 4*one-4 || four > 4*one+4 {
		t.Errorf("1 ms is %d turns, 4 ms %d", one, four)
	}
	before := workSink.Load()
	body := make([]byte, load.MinKindSize)
	work(body) // asks for nothing
	if workSink.Load() != before {
		t.Error("a body that asks for nothing was worked on")
	}
	binary.LittleEndian.PutUint32(body[8:], 500)
	work(body)
	if workSink.Load() == before {
		t.Error("nothing was done for half a millisecond of work")
	}
}

func TestCallsGoToTheirStreams(t *testing.T) {
	body := func(number uint64, kind uint32) []byte {
		b := make([]byte, load.MinKindSize)
		binary.LittleEndian.PutUint64(b, number)
		binary.LittleEndian.PutUint32(b[12:], kind)
		return b
	}
	one, many := streamsOf(role.Spec{Stream: "s"}), streamsOf(role.Spec{Stream: "s", Streams: 3})
	for n, want := range []string{"s", "s.1", "s.2", "s"} {
		if one.of(body(uint64(n), 9)) != "s" || many.of(body(uint64(n), 9)) != want {
			t.Errorf("call %d goes to %s and %s", n, one.of(body(uint64(n), 9)), many.of(body(uint64(n), 9)))
		}
	}
	spec := role.Spec{Stream: "s", Kinds: []role.Kind{{Name: "a", Stream: "x", Max: 2}, {Name: "b", Min: 4}, {Name: "c", Stream: "x", Max: 9}}}
	kinds, paths := streamsOf(spec), pathsOf(spec)
	for k, want := range [][2]string{{"s.x", "/echo/x"}, {"s", "/echo"}, {"s.x", "/echo/x"}} {
		if got := [2]string{kinds.of(body(5, uint32(k))), paths.of(body(5, uint32(k)))}; got != want {
			t.Errorf("kind %d goes to %v, want %v", k, got, want)
		}
	}
	// The first kind of a stream says what slots it has.
	if got, want := served(spec), []rpc.StreamConfig{{Name: "s.x", Max: 2}, {Name: "s", Min: 4}}; !slices.Equal(got, want) {
		t.Errorf("served %+v, want %+v", got, want)
	}
}

func TestTheObserverGivesMediansOnce(t *testing.T) {
	var o observer
	for i := range 20_000 {
		d := time.Duration(i * 7919 % 2000) // in no order: the first calls are all taken
		o.CallDone("", "", rpc.Timing{Total: d, Publish: d / 2, Queue: d / 4}, nil)
	}
	s, total := o.split()
	if s == nil || total < 500 || total > 1500 || s.Wait < total/2-1 || s.Wait > total/2+1 {
		t.Errorf("got %+v, %v", s, total)
	}
	if s, _ := o.split(); s != nil {
		t.Errorf("what was told before is told again: %+v", s)
	}
}
