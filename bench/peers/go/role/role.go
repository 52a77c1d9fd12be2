// Package role is the benchmark's side of a rival's process: the orders that it reads, the load that it makes and what it
// measures of itself. It repeats what the root module's bench package does for its own roles, without importing it: what
// measures a rival must not bring in the dependencies of what it is compared with, nor change its versions.
package role

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/metrics"
	"syscall"
	"time"
)

// Spec is the first line that a process reads from its standard input.
type Spec struct {
	Role string
	// URL of the broker, or "host:port" of the server that is called.
	URL string
	// Stream is what requests are sent to: a stream, a topic or a subject.
	Stream string
	// Slots is how many requests a worker may take at once.
	Slots int
}

// Caller makes one call: echo body. It is used by many goroutines at once, and neither keeps nor changes body.
type Caller interface {
	Call(ctx context.Context, body []byte) ([]byte, error)
}

// Part is what runs in a process.
type Part struct {
	// Addr is what others connect to, if anything.
	Addr string
	// Caller is set in clients.
	Caller Caller
	// Close ends the part and may be nil.
	Close func(ctx context.Context) error
}

// Starter brings a part up. ctx ends with the process.
type Starter func(ctx context.Context, s Spec) (*Part, error)

type order struct {
	Op   string // "run", "usage", "collect" (usage after a garbage collection) or "stop"; the end of input means stop
	Load Load
}

type usage struct {
	// CPU is user and system time since the process began, Allocs what it took from the heap, Heap the bytes of live objects as
	// of the last collection.
	CPU    time.Duration
	Allocs allocs
	Heap   uint64
}

type allocs struct {
	Objects uint64 `json:"objects"`
	Bytes   uint64 `json:"bytes"`
}

type answer struct {
	Addr   string
	Result *Result
	Usage  *usage
	Err    string
}

// stopTimeout bounds how long a part may take to close; the parent kills the process a second later.
const stopTimeout = 10 * time.Second

// Run is the whole life of a process: it reads orders from in and answers on out, a JSON object a line, until in ends, which
// it also does when the parent dies.
func Run(ctx context.Context, starters map[string]Starter, in io.Reader, out io.Writer) error {
	lines, enc := bufio.NewScanner(in), json.NewEncoder(out)
	var spec Spec
	if !lines.Scan() {
		return errors.New("a rival's process is started by `streamerson bench peers`; it reads its orders from its input")
	}
	if err := json.Unmarshal(lines.Bytes(), &spec); err != nil {
		return fmt.Errorf("first order: %w", err)
	}
	start, ok := starters[spec.Role]
	if !ok {
		err := fmt.Errorf("no role %q", spec.Role)
		return errors.Join(err, enc.Encode(answer{Err: err.Error()}))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p, err := start(ctx, spec)
	if err != nil {
		return errors.Join(err, enc.Encode(answer{Err: err.Error()}))
	}
	if err := enc.Encode(answer{Addr: p.Addr}); err != nil {
		return err
	}
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return fmt.Errorf("order: %w", err)
		}
		if o.Op == "stop" {
			break
		}
		if err := enc.Encode(p.obey(ctx, o)); err != nil {
			return err
		}
	}
	if p.Close == nil {
		return nil
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer stop()
	return p.Close(ctx)
}

func (p *Part) obey(ctx context.Context, o order) answer {
	switch {
	case o.Op == "run" && p.Caller != nil:
		r, err := Drive(ctx, p.Caller, o.Load)
		if err != nil {
			return answer{Err: err.Error()}
		}
		return answer{Result: &r}
	case o.Op == "usage":
		return answer{Usage: used()}
	case o.Op == "collect":
		runtime.GC()
		return answer{Usage: used()}
	}
	return answer{Err: fmt.Sprintf("this role can't %q", o.Op)}
}

func used() *usage {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return &usage{CPU: processCPU(), Allocs: allocs{s[0].Value.Uint64(), s[1].Value.Uint64()}, Heap: s[2].Value.Uint64()}
}

// processCPU is this process's user and system time so far.
func processCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
