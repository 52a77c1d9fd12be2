package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/streamerson/streamerson/bench/load"
	"github.com/streamerson/streamerson/bench/result"
	"github.com/streamerson/streamerson/bench/role"
)

// A Leg is one way to make calls, set up once and visited many times. Its methods are called by one goroutine at a time.
type Leg interface {
	// About tells the leg in tables and files.
	About() result.Leg
	// Start brings up the leg's processes and returns when calls can be made.
	Start(ctx context.Context) error
	// Run makes one visit's calls and returns when all have ended.
	Run(ctx context.Context, l load.Load) (Visit, error)
	// Stop ends the processes. It may be called after a failed Start, and twice.
	Stop() error
}

// Visit is what one run of a leg brought.
type Visit struct {
	load.Result
	// PartCPU is each process's CPU time during the visit.
	PartCPU map[string]time.Duration
	// Allocs are of the processes that can tell.
	Allocs map[string]result.Allocs
	// Counters are the parts' own, as increments: "client.publish.batches".
	Counters map[string]int64
	// Broker is what the broker did; zero for legs without one.
	Broker BrokerUse
	// Split is nil where no process tells.
	Split *result.Split
	// Lag is the most requests that were seen waiting, −1 if it was not looked at.
	Lag int64
}

// member is a process of a leg that runs: a role.Process or a role.ServerProcess.
type member interface {
	Addr() string
	PID() int
	Usage(ctx context.Context) (role.Usage, error)
	Collect(ctx context.Context) (role.Usage, error)
	Stop() error
}

// step is one process of a leg: a role of a program, or a server that knows nothing of roles.
type step struct {
	part, role string
	// program is who serves the role; nil means the leg's self.
	program *role.Program
	// server, if set, makes a server's command line instead; upstream is the address of the step before. Its files may lie in a
	// temporary folder that its Close removes.
	server func(upstream string) (role.Server, error)
}

// processLeg is a Leg of processes.
type processLeg struct {
	about result.Leg
	// steps are in the order in which they start. Each is given the address of the one before, or else the broker's. The last is
	// the client.
	steps  []step
	broker broker // nil for a leg without one
	self   *role.Program
	// mode takes the place of the scheme of the broker's URL, unless it is ""; params are added to it.
	mode, params string
	// spec is what the processes are told besides role, URL and stream; Slots 0 means slots.
	spec role.Spec

	running []member
	client  *role.Process
	watch   *lagWatch
}

// variant is the broker's URL as this leg uses it.
func (l *processLeg) variant(addr string) string {
	if _, rest, ok := strings.Cut(addr, "://"); ok && l.mode != "" {
		addr = l.mode + "://" + rest
	}
	return addr + l.params
}

const (
	// streamPrefix begins the name of every leg's stream.
	streamPrefix = "bench."
	// slots is how many requests a worker takes at once: as many as the most calls in flight that goals are measured at.
	slots = 256
	// startTimeout bounds how long a leg or a broker's process may take to serve.
	startTimeout = time.Minute
)

// About implements Leg.
func (l *processLeg) About() result.Leg { return l.about }

func (l *processLeg) stream() string { return streamPrefix + l.about.Name }

// Start implements Leg.
func (l *processLeg) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	addr := ""
	if l.broker != nil {
		addr = l.variant(l.broker.address())
	}
	first := addr
	for _, s := range l.steps {
		m, err := l.start(ctx, s, addr)
		if err != nil {
			return errors.Join(err, l.Stop())
		}
		l.running = append(l.running, m)
		if m.Addr() != "" {
			addr = m.Addr()
		}
	}
	if l.client == nil {
		return errors.Join(fmt.Errorf("%s: its last process is no client", l.about.Name), l.Stop())
	}
	if l.watched() {
		w, err := newLagWatch(ctx, first, l.stream())
		if err != nil {
			return errors.Join(err, l.Stop())
		}
		l.watch = w
	}
	return nil
}

func (l *processLeg) start(ctx context.Context, s step, addr string) (member, error) {
	name := l.about.Name + "-" + s.part
	if s.server != nil {
		srv, err := s.server(addr)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if srv.Stderr == nil {
			srv.Stderr = l.self.Stderr
		}
		return srv.Start(ctx, name)
	}
	spec := l.spec
	spec.Role, spec.URL, spec.Stream = s.role, addr, l.stream()
	if spec.Slots == 0 {
		spec.Slots = slots
	}
	program := s.program
	if program == nil {
		program = l.self
	}
	p, err := program.Start(ctx, name, spec)
	if err != nil {
		return nil, err
	}
	if s.part == result.PartClient {
		l.client = p
	}
	return p, nil
}

// Run implements Leg.
func (l *processLeg) Run(ctx context.Context, ld load.Load) (Visit, error) {
	if l.client == nil {
		return Visit{}, fmt.Errorf("%s: not started", l.about.Name)
	}
	v := Visit{PartCPU: map[string]time.Duration{}, Counters: map[string]int64{}, Allocs: map[string]result.Allocs{}, Lag: -1}
	if err := l.account(ctx, &v, -1); err != nil {
		return v, err
	}
	lag := l.watch.start(ctx)
	r, err := l.client.Run(ctx, ld)
	v.Lag = lag()
	if err != nil {
		return v, err
	}
	if err := l.account(ctx, &v, 1); err != nil {
		return v, err
	}
	v.Result = r
	v.PartCPU[result.PartClient] = r.CPU // without what it spent on sorting latencies
	if v.Split != nil && v.Split.Outside > 0 {
		v.Split.Outside = max(0, r.P50-v.Split.Outside) // account put the whole of the inner call there
	}
	return v, nil
}

// account adds, or with sign −1 subtracts, what the processes and the broker have used so far.
func (l *processLeg) account(ctx context.Context, v *Visit, sign int64) error {
	for i, p := range l.running {
		u, err := p.Usage(ctx)
		if err != nil {
			return err
		}
		part := l.steps[i].part
		v.PartCPU[part] += time.Duration(sign) * u.CPU
		for k, n := range u.Counters {
			v.Counters[part+"."+k] += sign * n
		}
		if u.Allocs != nil {
			a := v.Allocs[part]
			a.Objects += uint64(sign) * u.Allocs.Objects // unsigned numbers wrap around and back
			a.Bytes += uint64(sign) * u.Allocs.Bytes
			v.Allocs[part] = a
		}
		if u.Split != nil && sign > 0 {
			v.Split = u.Split
			if part != result.PartClient {
				v.Split.Outside = u.Total
			}
		}
	}
	if l.broker == nil {
		return nil
	}
	u, err := l.broker.use(ctx)
	if err != nil {
		return err
	}
	if sign < 0 {
		v.Broker = u
		return nil
	}
	v.Broker = u.since(v.Broker)
	v.PartCPU[result.PartBroker] = v.Broker.CPU
	return nil
}

// Stop implements Leg: callers end before the workers that they call.
func (l *processLeg) Stop() error {
	errs := []error{l.watch.close()}
	for i := len(l.running) - 1; i >= 0; i-- {
		errs = append(errs, l.running[i].Stop())
	}
	l.running, l.client, l.watch = nil, nil, nil
	return errors.Join(errs...)
}
