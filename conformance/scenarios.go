package conformance

import (
	"crypto/rand"
	"runtime"
	"slices"
	"time"
)

// Scenario is one named check of a driver. What it demands is written at the function behind it.
type Scenario struct {
	Name string
	// needs tells whether the harness can do what the scenario needs of it; nil means always.
	needs func(Harness) bool
	run   func(*Env)
}

var table = []Scenario{
	{Name: "capabilities", run: capabilities},
	{Name: "unclaimed-refused", run: unclaimedRefused},

	{Name: "roundtrip", run: roundtrip},
	{Name: "size-limits", run: sizeLimits},
	{Name: "order-in-one-publish", run: orderInOnePublish},
	{Name: "mixed-batch", run: mixedBatch},
	{Name: "dedup", run: dedup},
	{Name: "ordered-by-key", run: orderedByKey},
	{Name: "backlog-full", run: backlogFull},

	{Name: "competing-workers", run: competingWorkers},
	{Name: "two-groups", run: twoGroups},
	{Name: "publish-before-group", run: publishBeforeGroup},
	{Name: "concurrent-ensure", run: concurrentEnsure},
	{Name: "missing-stream", run: missingStream},
	{Name: "consume-before-publish", run: consumeBeforePublish},

	{Name: "credits-1-stream", run: func(e *Env) { credits(e, 1) }},
	{Name: "credits-5-streams", run: func(e *Env) { credits(e, 5) }},
	{Name: "credits-50-streams", run: func(e *Env) { credits(e, 50) }},
	{Name: "credits-reserved", run: ownCredit},
	{Name: "zero-credit", run: zeroCredit},
	{Name: "cancelled-receive", run: cancelledReceive},

	{Name: "release-attempts", run: releaseAttempts},
	{Name: "release-delay", run: releaseDelay},
	{Name: "double-ack", run: doubleAck},
	{Name: "stale-settle", run: staleSettle},
	{Name: "lease-expiry", run: leaseExpiry},
	{Name: "extend-keeps", run: extendKeeps},

	{Name: "reply-then-ack", run: replyThenAck},
	{Name: "dead-letter-reply", run: deadLetterReply},

	{Name: "lane", run: lane},
	{Name: "lane-gone", run: laneGone},
	{Name: "lane-forged", run: laneForged},
	{Name: "lane-shared", run: laneShared},
	{Name: "lane-cap", run: laneCap},

	{Name: "lag", run: lag},
	{Name: "live-consumers", run: liveConsumers},
	{Name: "browse", run: browse},

	{Name: "close-keeps-pending", run: closeKeepsPending},
	{Name: "out-of-order-acks-then-reopen", run: outOfOrderAcksThenReopen},
	{Name: "closed-driver", run: closedDriver},
	{Name: "close-ends-receive", run: closeEndsReceive},
	{Name: "open-close-50", run: openClose50},

	{Name: "wipe", run: wipe, needs: func(h Harness) bool { return h.Broker.Wipe != nil }},
	{Name: "restart", run: restart, needs: func(h Harness) bool { return h.Broker.Restart != nil }},
}

// Scenarios lists what Run would run with h, in its order.
func Scenarios(h Harness) []Scenario {
	var out []Scenario
	for _, s := range table {
		if (s.needs == nil || s.needs(h)) && (len(h.Only) == 0 || slices.Contains(h.Only, s.Name)) {
			out = append(out, s)
		}
	}
	return out
}

func (h Harness) withDefaults() Harness {
	if h.Prefix == "" {
		h.Prefix = "c" + rand.Text()[:10] + "."
	}
	if h.Slow <= 0 {
		h.Slow = 1
	}
	return h
}

// goroutineGrace is how long a closed driver's goroutines may take to end.
const goroutineGrace = 10 * time.Second

// Run runs the scenario, closes what it opened, and checks that no goroutine is left.
func (s Scenario) Run(t TB, h Harness) {
	t.Helper()
	before := runtime.NumGoroutine()
	h = h.withDefaults()
	e := &Env{TB: t, h: h, scenario: s.Name}
	defer func() {
		e.closeAll()
		deadline := time.Now().Add(e.d(goroutineGrace))
		for runtime.NumGoroutine() > before {
			if time.Now().After(deadline) {
				buf := make([]byte, 1<<20)
				t.Errorf("%d goroutines before, %d after everything was closed:\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	s.run(e)
}
