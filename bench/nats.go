package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamerson/streamerson/internal/brokers"
)

// The legs of the NATS run.
const (
	LegNATS        = "nats-rpc"          // JetStream
	LegNATSNoDedup = "nats-rpc-no-dedup" // JetStream without message ids: what is unknown isn't sent again
	LegNATSCore    = "nats-core-rpc"     // core NATS, at most once
	LegNATSRequest = "nats-request"      // nats.go's own nc.Request and a queue subscription
)

var natsCells = []Cell{{LegNATS, busy}, {LegNATSCore, busy}, {LegNATSNoDedup, busy}, {LegNATSRequest, busy}, {LegNATS, 1}, {LegNATSCore, 1}, {LegNATSRequest, 1}, {LegHTTP, 1}}

// natsGoals are issue 5's, each at 128 bytes.
var natsGoals = []Goal{
	{"rpc on core NATS ÷ nc.Request", Cell{LegNATSCore, busy}, Cell{LegNATSRequest, busy}, WhatRate, 1.3, 0},
	{"rpc on core NATS ÷ nc.Request", Cell{LegNATSCore, busy}, Cell{LegNATSRequest, busy}, WhatCPU, 0, 0},
	{"rpc on JetStream ÷ rpc on core NATS", Cell{LegNATS, busy}, Cell{LegNATSCore, busy}, WhatRate, 0.6, 0},
	{"rpc on JetStream ÷ rpc on core NATS", Cell{LegNATS, busy}, Cell{LegNATSCore, busy}, WhatCPU, 0, 0},
	{"rpc on JetStream without dedup ÷ rpc on core NATS", Cell{LegNATSNoDedup, busy}, Cell{LegNATSCore, busy}, WhatRate, 0, 0},
	{"one call in flight: rpc on core NATS ÷ net/http", Cell{LegNATSCore, 1}, Cell{LegHTTP, 1}, WhatP50, 0, 1.7},
	{"one call in flight: rpc on core NATS ÷ nc.Request", Cell{LegNATSCore, 1}, Cell{LegNATSRequest, 1}, WhatP50, 0, 0},
	{"one call in flight: rpc on JetStream ÷ rpc on core NATS", Cell{LegNATS, 1}, Cell{LegNATSCore, 1}, WhatP50, 0, 0},
}

// natsBroker is a nats-server in a process of its own: this program in another role.
type natsBroker struct {
	p *process
}

func startNATS(ctx context.Context, s *self) (*natsBroker, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*readyTimeout)
	defer cancel()
	p, err := s.start(ctx, "nats-server", roleSpec{Role: "nats-server"})
	if err != nil {
		return nil, err
	}
	return &natsBroker{p: p}, nil
}

// startNATSServer is the broker's role.
func startNATSServer(ctx context.Context, _ roleSpec, _ Wiring) (*part, error) {
	n, err := brokers.StartNATS(ctx, brokers.NATSConfig{})
	if err != nil {
		return nil, err
	}
	return &part{addr: n.URL, close: func(context.Context) error { n.Stop(); return nil }}, nil
}

func (b *natsBroker) address() string { return b.p.addr }

func (b *natsBroker) hostport() string { return strings.TrimPrefix(b.p.addr, "nats://") }

func (b *natsBroker) stop() error { return b.p.stop() }

func (b *natsBroker) info(context.Context) (BrokerInfo, error) {
	return BrokerInfo{
		Name: "nats-server", Version: brokers.NATSVersion,
		Durability: "JetStream in files, one replica, synced every 2 minutes (survives kill -9 of the broker); core NATS stores nothing",
	}, nil
}

// use knows the CPU time alone.
func (b *natsBroker) use(ctx context.Context) (BrokerUse, error) {
	u, err := b.p.usage(ctx)
	return BrokerUse{CPU: u.CPU}, err
}

func (b *natsBroker) clients(context.Context) (map[string]bool, error) { return nil, nil }

// natsLegs makes the legs, without starting them.
func natsLegs(s *self, b broker) []*processLeg {
	return []*processLeg{
		{name: LegNATS, self: s, broker: b, steps: []step{{PartWorker, "rpc-worker"}, {PartClient, "rpc-client"}}},
		{name: LegNATSCore, self: s, broker: b, mode: "nats+core", steps: []step{{PartWorker, "rpc-worker"}, {PartClient, "rpc-client"}}},
		{name: LegNATSNoDedup, self: s, broker: b, params: "?dedup=false", steps: []step{{PartWorker, "rpc-worker"}, {PartClient, "rpc-client"}}},
		{name: LegHTTP, self: s, steps: []step{{PartWorker, "http-server"}, {PartClient, "http-client"}}},
		{name: LegNATSRequest, self: s, broker: b, steps: []step{{PartWorker, "nats-worker"}, {PartClient, "nats-client"}}},
	}
}

// RunNATS measures rpc on JetStream and on core NATS beside nc.Request, on a nats-server of its own, and prints the tables to
// out. It blocks until done. The error says why the run could not be made.
func RunNATS(ctx context.Context, o Options, out io.Writer) (*Report, error) {
	self, err := o.program()
	if err != nil {
		return nil, err
	}
	b, err := startNATS(ctx, self)
	if err != nil {
		return nil, err
	}
	s := suite{broker: b, legs: natsLegs(self, b), cells: natsCells, goals: natsGoals}
	r, err := s.measure(ctx, o)
	if err = errors.Join(err, b.stop()); err != nil {
		return nil, err
	}
	return r, r.deliver(o, out)
}

func natsCommand(w Wiring) *cobra.Command {
	o := DefaultOptions()
	o.Wiring = w
	cmd := &cobra.Command{
		Use:   "nats",
		Short: "rpc on JetStream and on core NATS, beside nc.Request",
		Long: `Starts a nats-server, and the clients and workers as processes of their own; visits all legs in turn, forwards and
backwards, for several rounds; and prints the ratios that are goals, with what each leg cost. Exits with 1 when a call
failed. A goal that isn't met is shown, not an error.`,
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Progress = cmd.ErrOrStderr()
			r, err := RunNATS(cmd.Context(), o, cmd.OutOrStdout())
			if err == nil && r.Failed() > 0 {
				err = fmt.Errorf("bench: %d calls failed", r.Failed())
			}
			return err
		},
	}
	addRunFlags(cmd.Flags(), &o, LegNATS, LegNATSCore, LegNATSNoDedup, LegNATSRequest, LegHTTP)
	return cmd
}

// natsTimeout is when nc.Request gives a call up.
const natsTimeout = 10 * time.Second
