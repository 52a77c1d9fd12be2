package conformance

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// Harness tells the suite how to reach a transport. Only Open is required.
type Harness struct {
	// Open connects a new driver, as another process would have it, always to the same broker. The suite closes it.
	Open func(ctx context.Context) (transport.Driver, error)
	// URL is the same broker's address for worker and client processes, which the suite starts by running this program
	// again: its main or TestMain has to call ServeChild first. "" leaves the scenarios out that kill processes.
	URL string
	// Prefix begins every name that the suite uses, so that runs may share a broker; "" means a random one for each Run.
	Prefix string
	// Seed begins what is left to chance, and names the histories that are kept of failed scenarios; 0 means a random one.
	Seed uint64
	// Slow multiplies every wait and time limit, for slow brokers and machines; 0 means 1. Leases grow with it.
	Slow float64
	// Short makes the longest scenarios smaller: fewer messages, shorter outages.
	Short bool
	// Takeover bounds how long after a worker was killed another one may take to answer its requests, before Slow; 0
	// means the lease of 1 s and 2 s. A transport that finds out otherwise (by a session) states its own bound here.
	Takeover time.Duration
	// Addr is the broker's host:port, and OpenVia connects a driver through another address that leads there: the suite puts
	// proxies before the broker. A slow network is among them, so a limit on connecting has to be 2 s at least. Without both
	// the scenarios of AreaNetwork are left out.
	Addr    string
	OpenVia func(ctx context.Context, addr string) (transport.Driver, error)
	// Broker controls the broker itself. What it lacks leaves scenarios out.
	Broker Control
	// Only, if not empty, names the scenarios to run; Areas their areas.
	Only  []string
	Areas []Area
	// OnStream, if set, is told each stream's name before it is used, so that whoever runs the suite can remove it afterwards
	// (Remove). It may be called concurrently.
	OnStream func(name string)
	// OnResult, if set, is told how each scenario ended, from the goroutine that runs it.
	OnResult func(Result)
}

// Control does to a broker what operators and accidents do. Each function returns when it is done, and may be nil.
type Control struct {
	// Wipe deletes all data while the broker runs (FLUSHALL).
	Wipe func(ctx context.Context) error
	// Restart stops the broker in an orderly way and starts it on the same address with the data it kept.
	Restart func(ctx context.Context) error
	// Kill ends the broker's process as a crash would (kill -9). Start starts it again on the same address with the data
	// it kept, and StartEmpty without any; both return when it takes connections.
	Kill, Start, StartEmpty func(ctx context.Context) error
	// Stop halts the broker (SIGSTOP): its connections stay open and nothing answers. Continue lets it go on.
	Stop, Continue func(ctx context.Context) error
	// Fill makes the broker refuse to store anything more, as it does when its memory or store is full; Relieve ends that.
	Fill, Relieve func(ctx context.Context) error
	// DeleteGroup deletes a group of a stream, DeleteConsumers what the broker knows of its members, as people do by mistake while
	// all of them are in use.
	DeleteGroup, DeleteConsumers func(ctx context.Context, stream, group string) error
	// SmallDisk starts another broker of the same kind, whose data are on a disk of so many bytes. An error of
	// errors.ErrUnsupported says that there can't be one here (who is not root can make none).
	SmallDisk func(ctx context.Context, size int64) (*Disk, error)
}

// Disk is a broker with a small disk. Open is as Harness.Open, for this broker. Fill leaves no byte free on the disk, Free undoes
// that. Restart starts the broker again when it has ended or does not recover by itself. Stop ends it and takes the disk away.
type Disk struct {
	Open    func(ctx context.Context) (transport.Driver, error)
	Fill    func() error
	Free    func() error
	Restart func(ctx context.Context) error
	Stop    func()
}

// TB is what a scenario reports to; *testing.T is one. Fatalf must end the calling goroutine.
type TB interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
}

// EnvSlow is the least Slow of every Harness given to Run, for runs that ask whether something works, not how soon: other
// versions of a broker, or containers, on a machine that is busy. It is a number above 0.
const EnvSlow = "STREAMERSON_CONFORM_SLOW"

// Run runs every scenario as a subtest of t, one after the other: they count goroutines. One that can't be run is skipped with
// the reason.
func Run(t *testing.T, h Harness) {
	h = h.withDefaults()
	if raw := os.Getenv(EnvSlow); raw != "" {
		factor, err := strconv.ParseFloat(raw, 64)
		if err != nil || !(factor > 0 && factor <= 100) { // NaN is neither
			t.Fatalf("%s is %q; it has to be a number above 0 and at most 100, such as 3", EnvSlow, raw)
		}
		h.Slow = max(h.Slow, factor)
	}
	h.Short = h.Short || testing.Short()
	tell := h.OnResult
	for _, s := range Scenarios(h) {
		t.Run(s.Name, func(t *testing.T) {
			var got Result
			h := h
			h.OnResult = func(r Result) {
				got = r
				if tell != nil {
					tell(r)
				}
			}
			s.Run(t, h)
			if got.Outcome == NotRun {
				t.Skip("not run: " + got.Reason)
			}
		})
	}
}
