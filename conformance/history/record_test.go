package history

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
	"github.com/streamerson/streamerson/transport/mem"
)

// run makes calls and sends one-way messages over a recorded client and worker, and returns the book.
func run(t *testing.T, dir string, spoil func(*Recorder)) *Book {
	t.Helper()
	book, err := Open(dir, "a/run", 42)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	broker := mem.NewBroker(mem.Config{})
	driver := func(process string) (*Recorder, transport.Driver) {
		if process == "client" { // as a child does it
			r, err := Append(book.File(process), process)
			if err != nil {
				t.Fatal(err)
			}
			return r, r.Driver(broker.Open(transport.Options{}))
		}
		r := book.Recorder(process)
		return r, r.Driver(broker.Open(transport.Options{}))
	}
	worker, wd := driver("worker")
	scfg := rpc.ServerConfig{Streams: []rpc.StreamConfig{{Name: "s"}}, RetryDelays: []time.Duration{}}
	worker.Server(&scfg)
	server, err := rpc.NewServer(wd, scfg)
	if err != nil {
		t.Fatal(err)
	}
	server.Handle("echo", func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
		return &rpc.Response{Body: r.Body}, nil
	})
	server.Handle("fail", func(context.Context, *rpc.Request) (*rpc.Response, error) {
		return nil, rpc.Errorf(rpc.CodeInternal, "no")
	})
	serve, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- server.Run(serve) }()

	sender, cd := driver("client")
	ccfg := rpc.ClientConfig{}
	sender.Client(&ccfg)
	client, err := rpc.NewClient(ctx, cd, ccfg)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := client.Call(ctx, &rpc.Request{Stream: "s", Function: "echo"}); err != nil {
			t.Fatal(err)
		}
		if err := client.Send(ctx, &rpc.Request{Stream: "s", Function: "echo"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Send(ctx, &rpc.Request{Stream: "s", Function: "fail"}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Call(ctx, &rpc.Request{Stream: "s", Function: "fail"}); rpc.CodeOf(err) != rpc.CodeInternal {
		t.Fatal(err)
	}
	if _, err := client.Call(ctx, &rpc.Request{Stream: "s", Function: "none"}); rpc.CodeOf(err) != rpc.CodeUnimplemented {
		t.Fatal(err)
	}
	if spoil != nil {
		spoil(sender)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := client.Close(ctx); err != nil {
		t.Fatal(err)
	}
	for _, d := range []transport.Driver{cd, wd} {
		if err := d.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return book
}

// TestRecorded: what a client and a worker do is a sound history with all that they did, and nothing stays of it.
func TestRecorded(t *testing.T) {
	dir := t.TempDir()
	book := run(t, dir, nil)
	v, path, err := book.Close(Rules{OneEffect: true, OneEntry: true}, false)
	if err != nil || v.Err() != nil || path != "" {
		t.Errorf("%v, %v, %q", err, v.Err(), path)
	}
	const want = "accepted 9, answered 5, dead 1, delivered 9, handled 8, published 9"
	if v.String() != want {
		t.Errorf("got  %s\nwant %s", v, want)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestKept: the history of a run that failed, or that breaks a rule, is one file that can be read again.
func TestKept(t *testing.T) {
	for name, failed := range map[string]bool{"failed": true, "broken": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv(EnvDir, dir)
			book := run(t, "", func(r *Recorder) {
				if !failed {
					r.add(Event{Kind: Delivered, What: whatSend, ID: "ghost", Stream: "s", Entry: "1", Attempt: 1})
				}
			})
			before, err := book.Events()
			if err != nil {
				t.Fatal(err)
			}
			v, path, err := book.Close(Rules{}, failed)
			if err != nil || (v.Err() == nil) != failed || path != filepath.Join(dir, "a_run-42.jsonl") {
				t.Fatalf("%v, %v, %q", err, v.Err(), path)
			}
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			after, err := Read(f)
			if err != nil || len(after) != len(before) {
				t.Errorf("%d events were kept of %d: %v", len(after), len(before), err)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// TestCutLine: a process that was killed may leave a line that is cut; nothing else may be unreadable.
func TestCutLine(t *testing.T) {
	const good = `{"t":1,"p":"a","k":"joined"}` + "\n"
	events, err := Read(strings.NewReader(good + good + `{"t":2,"p":`))
	if err != nil || len(events) != 2 {
		t.Errorf("%d events, %v", len(events), err)
	}
	if _, err := Read(strings.NewReader(good + "{\"t\":2,\"p\":\n" + good)); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a bad line: %v", err)
	}
}

// TestBrowserStays: a recorded driver is a Browser exactly where the driver is one.
func TestBrowserStays(t *testing.T) {
	r := New(&strings.Builder{}, "p")
	d := mem.NewBroker(mem.Config{}).Open(transport.Options{})
	defer func() { _ = d.Close(t.Context()) }()
	plain := struct{ transport.Driver }{d}
	if _, ok := r.Driver(d).(transport.Browser); !ok {
		t.Error("mem can be browsed")
	}
	if _, ok := r.Driver(plain).(transport.Browser); ok {
		t.Error("this one can't")
	}
	if Of(r.Driver(d)) != r || Of(r.Driver(plain)) != r || Of(d) != nil {
		t.Error("the recorder of a driver")
	}
}

// TestPack: each reply of a pack is in the books by itself; what can't be unpacked is one unknown body.
func TestPack(t *testing.T) {
	ids := []rpc.ID{rpc.NewID(), rpc.NewID()}
	pack := wire.AppendPack(nil, wire.KindReplies, wire.ID{})
	for _, id := range ids {
		pack = wire.AppendMember(pack, wire.Append(nil, &wire.Envelope{Kind: wire.KindReply, ID: id, Attempt: 1}))
	}
	var got []string
	note := func(what, id string) { got = append(got, what+" "+id) }
	pieces(pack, note)
	pieces(pack[:len(pack)-1], note)
	want := []string{"reply " + ids[0].String(), "reply " + ids[1].String()}
	if len(got) != 3 || got[0] != want[0] || got[1] != want[1] || !strings.HasPrefix(got[2], "replies ") {
		t.Errorf("got %q, want %q and one that can't be unpacked", got, want)
	}
}

// TestPackOfRequests: each request of a pack has a story of its own, from its publish to its settlement; one that was acked with its
// pack, and neither ran nor was counted as expired, is found.
func TestPackOfRequests(t *testing.T) {
	for name, lose := range map[string]bool{"sound": false, "lost": true} {
		t.Run(name, func(t *testing.T) {
			ctx, r := t.Context(), New(nil, "p")
			d := r.Driver(mem.NewBroker(mem.Config{}).Open(transport.Options{}))
			defer func() { _ = d.Close(ctx) }()
			if err := d.Ensure(ctx, []transport.StreamSpec{{Stream: "s", Groups: []string{"g"}}}); err != nil {
				t.Fatal(err)
			}
			pack := wire.AppendPack(nil, wire.KindRequests, rpc.NewID())
			var ids []string
			for range 2 {
				id := rpc.NewID()
				ids = append(ids, id.String())
				pack = wire.AppendMember(pack, wire.Append(nil, &wire.Envelope{Kind: wire.KindRequest, ID: id, Attempt: 1}))
			}
			var results [1]transport.Result
			d.Publish(ctx, []transport.Message{{Stream: "s", Body: pack}}, results[:])
			c, err := d.Join(ctx, transport.Subscription{Group: "g"})
			if err != nil || results[0].Err != nil {
				t.Fatal(err, results[0].Err)
			}
			ds, err := c.Receive(ctx, 1, []transport.Credit{{Stream: "s", Max: 1}})
			if err != nil {
				t.Fatal(err)
			}
			r.add(Event{Kind: Serving, Group: "g"})
			for i, id := range ids {
				if i == 0 || !lose {
					r.add(Event{Kind: Began, What: whatRequest, ID: id, Stream: "s", Group: "g", Attempt: 1})
					r.add(Event{Kind: Ended, What: whatRequest, ID: id, Stream: "s", Group: "g", Attempt: 1})
				}
			}
			c.Settle(ctx, []transport.Settlement{{Delivery: &ds[0], Verb: transport.Ack}}, make([]error, 1))
			v := Rules{}.Check(r.events)
			if (v.Err() != nil) != lose || v.Counts["published"] != 2 || v.Counts["delivered"] != 2 {
				t.Errorf("%v: %v", v, v.Err())
			}
		})
	}
}
