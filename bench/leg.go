package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// A Leg is one way to make calls, set up once and visited many times. Its methods are called by one goroutine at a time.
type Leg interface {
	// Name tells the leg in tables and files.
	Name() string
	// Start brings up the leg's processes and returns when calls can be made.
	Start(ctx context.Context) error
	// Run makes one visit's calls and returns when all have ended.
	Run(ctx context.Context, l Load) (Visit, error)
	// Stop ends the processes. It may be called after a failed Start, and twice.
	Stop() error
}

// The processes that a leg may have, in the order of tables.
const (
	PartClient  = "client"
	PartGateway = "gateway" // or the HTTP proxy
	PartWorker  = "worker"  // or the HTTP server
	PartBroker  = "broker"
)

var parts = []string{PartClient, PartGateway, PartWorker, PartBroker}

// Visit is what one run of a leg brought.
type Visit struct {
	LoadResult
	// PartCPU is each process's CPU time during the visit.
	PartCPU map[string]time.Duration
	// Counters are the parts' own, as increments: "client.publish.batches".
	Counters map[string]int64
	// Broker is what the broker did; zero for legs without one.
	Broker BrokerUse
}

// step is one process of a leg.
type step struct{ part, role string }

// processLeg is a Leg of role processes.
type processLeg struct {
	name string
	// steps are in the order in which they start. Each is given the address of the one before, or else the broker's.
	steps  []step
	broker broker // nil for a leg without one
	self   *self
	// mode takes the place of the scheme of the broker's URL, unless it is ""; params are added to it.
	mode, params string

	running []*process
}

// variant is the broker's URL as this leg uses it.
func (l *processLeg) variant(addr string) string {
	if _, rest, ok := strings.Cut(addr, "://"); ok && l.mode != "" {
		addr = l.mode + "://" + rest
	}
	return addr + l.params
}

// streamPrefix begins the name of every leg's stream.
const streamPrefix = "bench."

// slots is how many requests a worker takes at once: as many as the most calls in flight.
const slots = 256

// Name implements Leg.
func (l *processLeg) Name() string { return l.name }

// Start implements Leg.
func (l *processLeg) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*readyTimeout)
	defer cancel()
	addr := ""
	if l.broker != nil {
		addr = l.broker.address()
	}
	for _, s := range l.steps {
		spec := roleSpec{Role: s.role, URL: l.variant(addr), Stream: streamPrefix + l.name, Slots: slots}
		p, err := l.self.start(ctx, l.name+"-"+s.part, spec)
		if err != nil {
			return errors.Join(err, l.Stop())
		}
		l.running = append(l.running, p)
		if p.addr != "" {
			addr = p.addr
		}
	}
	return nil
}

// Run implements Leg.
func (l *processLeg) Run(ctx context.Context, load Load) (Visit, error) {
	if len(l.running) == 0 {
		return Visit{}, fmt.Errorf("%s: not started", l.name)
	}
	v := Visit{PartCPU: map[string]time.Duration{}, Counters: map[string]int64{}}
	if err := l.account(ctx, &v, -1); err != nil {
		return v, err
	}
	r, err := l.running[len(l.running)-1].run(ctx, load)
	if err != nil {
		return v, err
	}
	if err := l.account(ctx, &v, 1); err != nil {
		return v, err
	}
	v.LoadResult = r
	v.PartCPU[PartClient] = r.CPU // without what it spent on sorting latencies
	return v, nil
}

// account adds, or with sign −1 subtracts, what the processes and the broker have used so far.
func (l *processLeg) account(ctx context.Context, v *Visit, sign int64) error {
	for i, p := range l.running {
		u, err := p.usage(ctx)
		if err != nil {
			return err
		}
		part := l.steps[i].part
		v.PartCPU[part] += time.Duration(sign) * u.CPU
		for k, n := range u.Counters {
			v.Counters[part+"."+k] += sign * n
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
	v.PartCPU[PartBroker] = v.Broker.CPU
	return nil
}

// Stop implements Leg: callers end before the workers that they call.
func (l *processLeg) Stop() error {
	var errs []error
	for i := len(l.running) - 1; i >= 0; i-- {
		errs = append(errs, l.running[i].stop())
	}
	l.running = nil
	return errors.Join(errs...)
}

// The legs of the Redis run.
const (
	LegHTTP    = "http"
	LegHand    = "redis-hand"
	LegNaive   = "redis-naive"
	LegRPC     = "redis-rpc"
	LegProxy   = "http-proxy"
	LegPooled  = "http-proxy-pooled"
	LegGateway = "redis-gateway"
)

// redisLegs makes the legs that this program can run, without starting them.
func redisLegs(s *self, b *redisBroker, w Wiring) []*processLeg {
	legs := []*processLeg{
		{name: LegHTTP, self: s, steps: []step{{PartWorker, "http-server"}, {PartClient, "http-client"}}},
		{name: LegHand, self: s, broker: b, steps: []step{{PartWorker, "hand-worker"}, {PartClient, "hand-client"}}},
		{name: LegNaive, self: s, broker: b, steps: []step{{PartWorker, "naive-worker"}, {PartClient, "naive-client"}}},
		{name: LegRPC, self: s, broker: b, steps: []step{{PartWorker, "rpc-worker"}, {PartClient, "rpc-client"}}},
		{name: LegProxy, self: s, steps: []step{{PartWorker, "http-server"}, {PartGateway, "http-proxy"}, {PartClient, "http-load"}}},
		{name: LegPooled, self: s, steps: []step{{PartWorker, "http-server"}, {PartGateway, "http-proxy-pooled"}, {PartClient, "http-load"}}},
	}
	if w.Gateway != nil && w.Worker != nil {
		legs = append(legs, &processLeg{name: LegGateway, self: s, broker: b, steps: []step{
			{PartWorker, "web-worker"}, {PartGateway, "gateway"}, {PartClient, "http-load"},
		}})
	}
	return legs
}

// program checks the options and is the program that their legs' processes run.
func (o *Options) program() (*self, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if o.ProfileDir != "" {
		if err := os.MkdirAll(o.ProfileDir, 0o755); err != nil { //nolint:gosec // profiles are no secret
			return nil, err
		}
	}
	return newSelf(exe, o.Progress, o.ProfileDir), nil
}

// newSelf is this program as the file that runs now.
func newSelf(executable string, stderr io.Writer, profiles string) *self {
	return &self{Program: executable, Args: roleArgs, Stderr: stderr, ProfileDir: profiles}
}
