package files

import (
	"net/url"
	"testing"

	"github.com/streamerson/streamerson/transport"
)

// A process that ends without a word leaves a lane without its lock; whoever opens the transport next removes it.
func TestLanesOfTheDeadAreReaped(t *testing.T) {
	u := &url.URL{Scheme: "files", Path: t.TempDir()}
	open := func() *Driver {
		d, err := Open(t.Context(), u, transport.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return d.(*Driver)
	}
	dead, living := open(), open()
	var lanes []transport.Tailer
	for _, d := range []*Driver{dead, living} {
		lane, err := d.Tail(t.Context(), transport.TailSpec{Name: "x"})
		if err != nil {
			t.Fatal(err)
		}
		lanes = append(lanes, lane)
	}
	_ = dead.lanes[0].lock.Close() // what the kernel does at the process's end
	other := open()
	results := make([]transport.Result, 2)
	other.Publish(t.Context(), []transport.Message{{Lane: true, Stream: lanes[0].Address()}, {Lane: true, Stream: lanes[1].Address()}}, results)
	if !transport.IsCode(results[0].Err, transport.CodeNotFound) || results[1].Err != nil {
		t.Errorf("to the dead one's lane: %+v; to the living one's: %+v", results[0], results[1])
	}
	if err := living.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
