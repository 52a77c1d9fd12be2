package faults

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
)

// nobodysLane is an address as this system makes them, of a process that never was.
const nobodysLane = "streamerson:lane:{0123456789abcdef}:a.1#5"

// publishRaw puts frames on the stream that no client would make.
func publishRaw(t testing.TB, d transport.Driver, stream string, frames ...[]byte) {
	t.Helper()
	msgs := make([]transport.Message, len(frames))
	for i, f := range frames {
		msgs[i] = transport.Message{Stream: stream, Body: f}
	}
	results := make([]transport.Result, len(msgs))
	d.Publish(context.Background(), msgs, results)
	for _, r := range results {
		if r.Outcome != transport.OutcomeAccepted {
			t.Fatalf("publishing a frame: %v, %v", r.Outcome, r.Err)
		}
	}
}

// TestForgedFrames publishes envelopes whose reply address is no lane of this system, and frames that can't be read. Pass:
// each that names a foreign key is a dead letter with cause "bad-reply-to", each unreadable one with its reason; one that
// names a lane which doesn't exist is answered nowhere and settled; no key of the database has changed and none is new but
// the dead letter stream; the worker serves on.
func TestForgedFrames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.worker(nil)
	client, _, d := w.clientAt(w.broker.URL, rpc.ClientConfig{})
	ctx := context.Background()
	if err := w.admin.Set(ctx, "victim", "untouched", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := w.admin.XAdd(ctx, &redis.XAddArgs{Stream: "victimstream", Values: []string{"b", "untouched"}}).Err(); err != nil {
		t.Fatal(err)
	}
	forged := func(replyTo string) []byte {
		return wire.Append(nil, &wire.Envelope{
			Kind: wire.KindRequest, ID: rpc.NewID(), Attempt: 1, Stream: w.stream, Function: "echo", ReplyTo: replyTo, Body: []byte("evil"),
			Deadline: time.Now().Add(time.Minute).UnixMilli(), Budget: 60_000,
		})
	}
	bad := []string{
		"victim", "victimstream", "new", w.key(), "streamerson:{" + w.stream + "}:live:workers", "streamerson:lane:victim",
		"streamerson:lane:{0123456789abcdef}", "streamerson:lane:{0123456789abcdeX}:a.1#5", "streamerson:lane:{0123456789abcdef}:a.1#0",
		"~", "~a b", strings.Repeat("x", 300),
	}
	unknownVersion := forged(nobodysLane)
	unknownVersion[0] = 99
	wrongKind := wire.Append(nil, &wire.Envelope{Kind: wire.KindReply, ID: rpc.NewID(), Attempt: 1})
	before := w.keys()
	for _, a := range bad {
		publishRaw(t, d, w.stream, forged(a))
	}
	publishRaw(t, d, w.stream, forged(nobodysLane), unknownVersion, wrongKind, []byte("garbage"), nil)
	want := map[string]int{string(rpc.DeadBadReplyTo): len(bad), string(rpc.DeadUndecodable): 3, string(rpc.DeadWrongKind): 1}
	eventually(t, 10*time.Second, "all to be dead letters", func() bool { return len(w.dead(d)) >= len(bad)+4 })
	w.drained(10 * time.Second)
	got, versions := map[string]int{}, 0
	for _, l := range w.dead(d) {
		got[l.Header.Get(rpc.DeadHeaderCause)]++
		if strings.Contains(l.Header.Get(rpc.DeadHeaderError), "version") {
			versions++
		}
		if l.Header.Get(rpc.DeadHeaderError) == "" {
			t.Errorf("a dead letter without a reason: %+v", l.Header)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || versions < 1 {
		t.Errorf("causes %v, want %v; %d name the version", got, want, versions)
	}
	if v := w.admin.Get(ctx, "victim").Val(); v != "untouched" {
		t.Errorf("the foreign key is %q", v)
	}
	if n := w.admin.XLen(ctx, "victimstream").Val(); n != 1 {
		t.Errorf("the foreign stream has %d entries", n)
	}
	if after := w.keys(); !slices.Equal(before, after) {
		t.Errorf("keys before %v, after %v", before, after)
	}
	if resp, err := client.Call(ctx, w.request("echo", "alive", 10*time.Second)); err != nil || string(resp.Body) != "alive" {
		t.Errorf("the worker doesn't serve any more: %v", err)
	}
	if _, err := client.Call(ctx, w.request("panic", "", 10*time.Second)); rpc.CodeOf(err) != rpc.CodeInternal {
		t.Errorf("a panic gave %v", err)
	}
	if n := p.seen.get("dead-" + string(rpc.DeadBadReplyTo)); n != len(bad) {
		t.Errorf("the worker counted %d, want %d", n, len(bad))
	}
}
