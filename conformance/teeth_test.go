package conformance

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamerson/streamerson/transport"
	"github.com/streamerson/streamerson/transport/mem"
)

// recorder is a TB that remembers failures.
type recorder struct {
	mu     sync.Mutex
	failed []string
}

func (r *recorder) Helper()             {}
func (r *recorder) Logf(string, ...any) {}
func (r *recorder) Errorf(f string, a ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = append(r.failed, fmt.Sprintf(f, a...))
}

func (r *recorder) Fatalf(f string, a ...any) {
	r.Errorf(f, a...)
	runtime.Goexit()
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.failed) > 0
}

// bite runs one scenario on a driver and returns its failures.
func bite(t *testing.T, scenario string, slow float64, breakIt func(*broken)) []string {
	t.Helper()
	b := mem.NewBroker(mem.Config{})
	h := Harness{Only: []string{scenario}, Slow: slow, Open: func(context.Context) (transport.Driver, error) {
		d := &broken{Driver: b.Open(transport.Options{})}
		breakIt(d)
		return d, nil
	}}
	s := Scenarios(h)
	if len(s) != 1 {
		t.Fatalf("there is no scenario %q", scenario)
	}
	r, done := &recorder{}, make(chan struct{})
	go func() {
		defer close(done)
		s[0].Run(r, h)
	}()
	<-done
	return r.failed
}

// Each fault that a driver may have is caught by the scenario that is named here for it, which the sound driver passes.
func TestTeeth(t *testing.T) {
	for _, tooth := range []struct {
		name, scenario string
		slow           float64
		breakIt        func(*broken)
	}{
		{"acks before the reply", "reply-then-ack", 0.3, func(d *broken) { d.settle = acksFirst }},
		{"acks before the dead letter", "dead-letter-reply", 0.3, func(d *broken) { d.settle = acksFirst }},
		{"prefetches beyond credit", "credits-5-streams", 0.3, func(d *broken) { d.receive = prefetches }},
		{"reads streams without credit", "zero-credit", 0.3, func(d *broken) { d.receive = ignoresZero }},
		{"makes groups at the end", "publish-before-group", 0.3, func(d *broken) { d.ensure = groupAtEnd }},
		{"drops on close", "close-keeps-pending", 0.3, func(d *broken) { d.dropOnClose = true }},
		{"ignores the lease", "lease-expiry", 0.3, func(d *broken) { d.lease = time.Hour }},
		{"ends leases early", "extend-keeps", 0.3, func(d *broken) { d.lease = 10 * time.Millisecond }},
		{"loses what a cancelled call got", "cancelled-receive", 0.1, func(d *broken) { d.receive = losesCancelled }},
		{"acks all up to the highest", "out-of-order-acks-then-reopen", 0.3, func(d *broken) { d.settle = acksHighest }},
		{"publishes twice", "competing-workers", 0.3, func(d *broken) { d.publish = publishesTwice }},
		{"keeps the caller's bodies", "roundtrip", 0.3, func(d *broken) { d.publish = publishesLater }},
		{"calls every message accepted", "lane-gone", 0.3, func(d *broken) { d.publish = claimsAccepted }},
		{"leaks a goroutine", "open-close-50", 0.05, func(d *broken) { d.leak = make(chan struct{}); t.Cleanup(func() { close(d.leak) }) }},
	} {
		t.Run(tooth.name, func(t *testing.T) {
			got := bite(t, tooth.scenario, tooth.slow, tooth.breakIt)
			if len(got) == 0 {
				t.Errorf("scenario %s did not notice", tooth.scenario)
			} else {
				t.Logf("%d failures, the first: %s", len(got), strings.SplitN(got[0], "\n", 2)[0])
			}
			if sound := bite(t, tooth.scenario, 1, func(*broken) {}); len(sound) > 0 {
				t.Errorf("scenario %s fails on a sound driver: %v", tooth.scenario, sound)
			}
		})
	}
}
