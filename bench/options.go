package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/streamerson/streamerson/bench/load"
	"github.com/streamerson/streamerson/bench/parts"
	"github.com/streamerson/streamerson/bench/result"
	"github.com/streamerson/streamerson/bench/role"
)

// Wiring is what the program that holds the benchmark gives it; see parts.Wiring.
type Wiring = parts.Wiring

// Options of a run. The zero value is not usable; DefaultOptions is.
type Options struct {
	// Rounds of two visits a cell; fewer than 5 tell little.
	Rounds int
	// Visit is how long one visit of one cell is meant to take.
	Visit time.Duration
	// Size of a body in bytes, at least 8, in cells that name no workload of their own.
	Size int
	// Calls of the long leg, 0 to leave it out.
	Calls int
	// Legs to run, by name or, for one cell alone, as "name@256"; nil for all. Goals whose cells are left out are shown as
	// not measured.
	Legs []string
	// Seed of arrivals, sizes and kinds.
	Seed uint64
	// JSON is a file for the results, HTML one for the report, ProfileDir a directory for a CPU profile of each process; "" for
	// none.
	JSON, HTML, ProfileDir string
	// Wiring, see there.
	Wiring Wiring
	// Progress gets what goes on and what the processes log; nil means os.Stderr.
	Progress io.Writer
	// Command is the command line, for the results.
	Command string
	// brief takes Rounds and Visit for all suites, also those that have their own: for tests.
	brief bool
}

// DefaultOptions take about two minutes. Many short visits tell more than few long ones: what else a machine does comes in
// bursts, which then hit few rounds.
func DefaultOptions() Options {
	return Options{Rounds: 9, Visit: 500 * time.Millisecond, Size: 128, Calls: 1_000_000, Seed: 1}
}

func (o *Options) check() error {
	switch {
	case o.Rounds < 1:
		return fmt.Errorf("bench: --rounds is %d; give at least 1", o.Rounds)
	case o.Visit < 10*time.Millisecond:
		return fmt.Errorf("bench: --visit is %v; give at least 10ms", o.Visit)
	case o.Size < load.MinSize:
		return fmt.Errorf("bench: --size is %d; give at least %d, a body holds its call's number", o.Size, load.MinSize)
	case o.Calls < 0:
		return fmt.Errorf("bench: --calls is %d; give 0 to leave the long leg out", o.Calls)
	}
	if o.Progress == nil {
		o.Progress = os.Stderr
	}
	return nil
}

func (o *Options) gateways() bool { return o.Wiring.Gateway != nil && o.Wiring.Worker != nil }

// sharedWriter lets all processes log to one writer.
type sharedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *sharedWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// wants reports whether a cell is to be visited. A leg's name alone wants all its cells.
func (o *Options) wants(c result.Cell) bool {
	return len(o.Legs) == 0 || slices.ContainsFunc(o.Legs, func(want string) bool {
		return want == c.Leg || want == c.Name()
	})
}

// program checks the options and is the program that the legs' processes run.
func (o *Options) program() (*role.Program, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if o.ProfileDir != "" {
		if err := os.MkdirAll(o.ProfileDir, 0o755); err != nil {
			return nil, err
		}
	}
	return newSelf(exe, &sharedWriter{w: o.Progress}, o.ProfileDir), nil
}

// roleArgs is the hidden command of Command that serves a role.
var roleArgs = []string{"bench", "role"}

// newSelf is this program as the file that runs now.
func newSelf(executable string, stderr io.Writer, profiles string) *role.Program {
	return &role.Program{File: executable, Args: roleArgs, Stderr: stderr, ProfileDir: profiles}
}

// RunRole is the whole of a role process of this program: it reads its orders from in and answers on out until in ends. The
// program's main calls it through Command.
func RunRole(ctx context.Context, w Wiring, in io.Reader, out io.Writer) error {
	return role.Serve(ctx, parts.Starters(w), in, out)
}
