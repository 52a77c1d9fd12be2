package faults

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

// TestPublishAnswerLost cuts the client's connection in place of Redis's answer to a publish, many times. Pass: every call
// gets its reply by its deadline, for it is stored; a one-way message succeeds or says that its outcome is unknown; each
// request has exactly one effect.
func TestPublishAnswerLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 2 {
		w.worker(nil)
	}
	p := newProxy(t, w.broker.Addr)
	client, _, _ := w.clientAt(p.url, rpc.ClientConfig{})
	const rounds = 10
	for i := range rounds {
		name := fmt.Sprintf("call%d", i)
		p.arm(name, swallowReply)
		resp, err := client.Call(t.Context(), w.request("effect", name, 5*time.Second))
		if err != nil || string(resp.Body) != name {
			t.Errorf("%s: %v", name, err)
		}
		name = fmt.Sprintf("send%d", i)
		p.arm(name, swallowReply)
		err = client.Send(t.Context(), w.request("effect", name, 0))
		if e, ok := errors.AsType[*rpc.Error](err); err != nil && (!ok || e.Published == transport.OutcomeRejected) {
			t.Errorf("%s: %v, though it was stored", name, err)
		}
	}
	if n := p.struck(); n != 2*rounds {
		t.Fatalf("the proxy struck %d times, want %d", n, 2*rounds)
	}
	eventually(t, 10*time.Second, "all to run", func() bool { return len(ranTimes(t, ends(w.stream))) == 2*rounds })
	w.drained(10 * time.Second)
	for name, n := range ranTimes(t, runs(w.stream)) {
		if n != "1" {
			t.Errorf("%s ran %s times", name, n)
		}
	}
}

// TestPublishLost cuts the connection before Redis sees a publish, which to the client looks the same. Pass: the call ends
// by its deadline, either with its reply (it was published again, which is right only when it certainly was not sent) or
// with an error that doesn't claim that it was accepted; nothing runs twice; the next call succeeds.
func TestPublishLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.worker(nil)
	p := newProxy(t, w.broker.Addr)
	client, _, _ := w.clientAt(p.url, rpc.ClientConfig{})
	for i := range 5 {
		name := fmt.Sprintf("call%d", i)
		p.arm(name, swallowCommand)
		got := within(t, 500*time.Millisecond+slack, callLater(client, w.request("effect", name, 500*time.Millisecond)))
		if e, ok := errors.AsType[*rpc.Error](got.err); got.err != nil && (!ok || e.Published == transport.OutcomeAccepted) {
			t.Errorf("%s: %v", name, got.err)
		}
		if _, err := client.Call(t.Context(), w.request("effect", "next"+name, 5*time.Second)); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
	if n := p.struck(); n != 5 {
		t.Fatalf("the proxy struck %d times, want 5", n)
	}
	w.drained(10 * time.Second)
	for name, n := range ranTimes(t, runs(w.stream)) {
		if n != "1" {
			t.Errorf("%s ran %s times", name, n)
		}
	}
}
