package conformance

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pretty "github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

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
	var wipes atomic.Int32
	h := Harness{Only: []string{scenario}, Slow: slow, Open: func(context.Context) (transport.Driver, error) {
		born := wipes.Load()
		d := &broken{Driver: b.Open(transport.Options{}), dead: func() bool { return wipes.Load() > born }}
		breakIt(d)
		return d, nil
	}, Broker: Control{Wipe: func(context.Context) error { b.Wipe(); wipes.Add(1); return nil }}}
	s := Scenarios(h)
	if len(s) != 1 {
		t.Fatalf("there is no scenario %q", scenario)
	}
	var end Result
	h.OnResult = func(r Result) { end = r }
	r, done := &recorder{}, make(chan struct{})
	go func() {
		defer close(done)
		s[0].Run(r, h)
	}()
	<-done
	if end.Outcome != Passed && end.Outcome != Failed {
		t.Fatalf("scenario %s was %s: %s", scenario, end.Outcome, end.Reason)
	}
	return r.failed
}

// tooth is one fault and the scenario that is named for it.
type tooth struct {
	fault, scenario string
	// slow is the factor on the scenario's waits: a fault is found sooner than its bound only if that is short.
	slow    float64
	breakIt func(*broken)
}

func teeth(t *testing.T) []tooth {
	x := &crossing{next: map[string]string{}}
	return []tooth{
		{"acks first", "reply-then-ack", 0.3, func(d *broken) { d.settle = acksFirst }},
		{"acks before the dead letter", "dead-letter-reply", 0.3, func(d *broken) { d.settle = acksFirst }},
		{"loses replies", "reply-then-ack", 0.1, func(d *broken) { d.settle = losesReplies }},
		{"acks who shares a refused reply", "shared-reply", 0.3, func(d *broken) { d.settle = acksSharers }},
		{"sends a shared reply for each", "shared-reply", 0.3, func(d *broken) { d.settle = sendsForEach }},
		{"commits highest", "out-of-order-acks-then-reopen", 0.3, func(d *broken) { d.settle = acksHighest }},
		{"MAXLEN trim", "unread-kept", 0.1, func(d *broken) { d.publish = trimsToLength }},
		{"no limit on a backlog", "backlog-full", 0.1, func(d *broken) { d.ensure = unbounded }},
		{"retries publishes", "competing-workers", 0.3, func(d *broken) { d.publish = retriesPublishes }},
		{"group at $", "publish-before-group", 0.3, func(d *broken) { d.ensure = groupAtEnd }},
		{"no acks required", "accepted-outlives-publisher", 0.1, needsNoAcks},
		{"calls every message accepted", "lane-gone", 0.3, func(d *broken) { d.publish = claimsAccepted }},
		{"calls every late message accepted", "publish-late", 0.3, func(d *broken) { d.late = claimsLate }},
		{"tells a late rejection twice", "publish-late", 0.3, func(d *broken) { d.late = tellsTwice }},
		{"keeps a late message's body", "publish-late", 0.3, func(d *broken) { d.late = keepsLate }},
		{"acks before a late reply", "settle-late", 0.3, func(d *broken) { d.settleLate = acksLate }},
		{"keeps the caller's bodies", "roundtrip", 0.3, keepsBodies},
		{"never claims", "lease-expiry", 0.3, func(d *broken) { d.receive = neverClaims }},
		{"ignores lease", "extend-keeps", 0.3, func(d *broken) { d.lease = 10 * time.Millisecond }},
		{"forgets attempts", "release-attempts", 0.3, func(d *broken) { d.receive = forgetsAttempts }},
		{"no supervisor", "wipe", 0.1, func(d *broken) { d.receive = unsupervised }},
		{"crosses replies", "lane", 0.3, func(d *broken) { d.tail, d.publish = x.tail, x.publish }},
		{"trusts reply addresses", "lane-forged", 0.3, func(d *broken) { d.publish = trustsAddresses }},
		{"makes missing streams", "missing-stream", 0.3, func(d *broken) { d.publish = makesStreams }},
		{"shuffles a batch", "order-in-one-publish", 0.3, func(d *broken) { d.publish = shuffles }},
		{"prefetches", "credits-5-streams", 0.3, func(d *broken) { d.receive = prefetches }},
		{"reads streams without credit", "zero-credit", 0.3, func(d *broken) { d.receive = ignoresZero }},
		{"loses what a cancelled call got", "cancelled-receive", 0.1, func(d *broken) { d.receive = losesCancelled }},
		{"drops on close", "close-keeps-pending", 0.3, func(d *broken) { d.dropOnClose = true }},
		{"leaks a goroutine", "open-close-50", 0.05, func(d *broken) { d.leak = make(chan struct{}); t.Cleanup(func() { close(d.leak) }) }},
	}
}

// Each fault that a driver may have is caught by the scenario that is named here for it, which the sound driver passes. With
// -v, as in make teeth, a table is printed.
func TestTeeth(t *testing.T) {
	rows := caughtTable(t)
	sound := map[string]bool{}
	for _, tooth := range teeth(t) {
		t.Run(tooth.fault, func(t *testing.T) {
			got := bite(t, tooth.scenario, tooth.slow, tooth.breakIt)
			if len(got) == 0 {
				t.Errorf("scenario %s did not notice", tooth.scenario)
				rows.AppendRow(pretty.Row{tooth.fault, tooth.scenario, "NO", ""})
			} else {
				rows.AppendRow(pretty.Row{tooth.fault, tooth.scenario, "yes", strings.SplitN(got[0], "\n", 2)[0]})
			}
			if sound[tooth.scenario] {
				return
			}
			sound[tooth.scenario] = true
			if bad := bite(t, tooth.scenario, 1, func(*broken) {}); len(bad) > 0 {
				t.Errorf("scenario %s fails on a sound driver: %v", tooth.scenario, bad)
			}
		})
	}
}

func caughtTable(t *testing.T) pretty.Writer {
	w := pretty.NewWriter()
	w.SetStyle(pretty.StyleLight)
	w.Style().Format.Header = text.FormatDefault
	w.SetColumnConfigs([]pretty.ColumnConfig{{Number: 4, WidthMax: 70, WidthMaxEnforcer: text.WrapSoft}})
	w.AppendHeader(pretty.Row{"broken transport", "scenario named for it", "caught", "by"})
	t.Cleanup(func() {
		if testing.Verbose() {
			fmt.Println(w.Render())
		}
	})
	return w
}
