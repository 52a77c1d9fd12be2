package conformance

import (
	"context"
	"testing"

	"github.com/streamerson/streamerson/transport"
)

// Harness tells the suite how to reach a transport. Only Open is required.
type Harness struct {
	// Open connects a new driver, as another process would have it, always to the same broker. The suite closes it.
	Open func(ctx context.Context) (transport.Driver, error)
	// Prefix begins every name that the suite uses, so that runs may share a broker; "" means a random one for each Run.
	Prefix string
	// Slow multiplies every wait and time limit, for slow brokers and machines; 0 means 1. Leases grow with it.
	Slow float64
	// Broker controls the broker itself. The zero value means that the suite can't, and leaves those scenarios out.
	Broker Control
	// Only, if not empty, names the scenarios to run.
	Only []string
}

// Control does to a broker what operators and accidents do. Each function returns when it is done, and may be nil.
type Control struct {
	// Wipe deletes all data while the broker runs (FLUSHALL).
	Wipe func(ctx context.Context) error
	// Restart stops the broker in an orderly way and starts it on the same address with the data it kept.
	Restart func(ctx context.Context) error
}

// TB is what a scenario reports to; *testing.T is one. Fatalf must end the calling goroutine.
type TB interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
}

// Run runs every scenario as a subtest of t, one after the other: they count goroutines.
func Run(t *testing.T, h Harness) {
	h = h.withDefaults()
	for _, s := range Scenarios(h) {
		t.Run(s.Name, func(t *testing.T) { s.Run(t, h) })
	}
}
