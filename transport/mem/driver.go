package mem

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// Driver is one process's view of a Broker. It implements transport.Driver and transport.Browser.
type Driver struct {
	b    *Broker
	opts transport.Options

	// Guarded by b.mu.
	closed    bool
	ensured   map[string]transport.StreamSpec
	consumers map[*consumer]struct{}
	tailers   map[*tailer]struct{}
	events    []transport.Event // to be reported once b.mu is free
}

var (
	_ transport.Driver  = (*Driver)(nil)
	_ transport.Browser = (*Driver)(nil)
)

// Broker returns the broker behind the driver, for opening more drivers on it and for its faults.
func (d *Driver) Broker() *Broker { return d.b }

// Capabilities implements transport.Driver.
func (d *Driver) Capabilities() transport.Capabilities {
	return transport.Capabilities{
		Name: "mem", Version: "in-process",
		Durability: transport.DurabilityMemory, DurabilityNote: "held in this process's memory; lost when it ends",
		MaxBody: MaxBody, Stored: true, Backlog: true, OrderedInPublish: true,
		Redeliver: true, Extend: true, Release: true, ReleaseDelay: true,
		Dedup:      d.b.cfg.Dedup,
		BrokerTime: true, LiveConsumers: true, Browse: true,
		Silence:     time.Second, // nothing waits here, but for a test's Pause
		Connections: 1,           // an upper bound: there is none, and 0 would mean that it grows
	}
}

// unlock releases b.mu and then reports what happened under it.
func (d *Driver) unlock() {
	events := d.events
	d.events = nil
	d.b.mu.Unlock()
	for _, e := range events {
		d.opts.OnEvent(e)
	}
}

func (d *Driver) event(e transport.Event) {
	if d.opts.OnEvent != nil {
		d.events = append(d.events, e)
	}
}

// Ensure implements transport.Driver. A MaxBacklog other than 0 takes effect on a stream that exists as well.
func (d *Driver) Ensure(ctx context.Context, specs []transport.StreamSpec) error {
	for _, sp := range specs {
		if err := transport.CheckName(sp.Stream); err != nil {
			return err
		}
		for _, g := range sp.Groups {
			if err := transport.CheckName(g); err != nil {
				return err
			}
		}
		if sp.MaxBacklog < 0 {
			return &transport.Error{Code: transport.CodeInvalid, Op: "ensure", Stream: sp.Stream, Msg: "MaxBacklog is negative; give 0 for the default"}
		}
	}
	if err := d.enter(ctx, "ensure"); err != nil {
		return err
	}
	defer d.unlock()
	for _, sp := range specs {
		mine := d.ensured[sp.Stream]
		mine.Stream = sp.Stream
		for _, g := range sp.Groups {
			if !slices.Contains(mine.Groups, g) {
				mine.Groups = append(mine.Groups, g)
			}
		}
		if sp.MaxBacklog > 0 {
			mine.MaxBacklog = sp.MaxBacklog
		}
		d.ensured[sp.Stream] = mine
		d.b.create(mine)
	}
	return nil
}

// enter locks b.mu for an operation: it waits while the broker is paused and fails when the driver is closed or ctx ended.
// On an error b.mu is free.
func (d *Driver) enter(ctx context.Context, op string) error {
	for {
		if err := ctx.Err(); err != nil {
			return &transport.Error{Code: transport.CodeOf(err), Op: op, Err: err}
		}
		d.b.mu.Lock()
		if d.closed {
			d.b.mu.Unlock()
			return errClosed(op)
		}
		paused := d.b.faults.paused
		if paused == nil {
			return nil
		}
		d.b.mu.Unlock()
		select {
		case <-paused:
		case <-ctx.Done():
		}
	}
}

func errClosed(op string) error {
	return &transport.Error{Code: transport.CodeClosed, Op: op, Msg: "it was closed"}
}

// stream finds a stream, and makes it again when this driver had ensured it and it was wiped. nil: there is none.
func (d *Driver) stream(name string) *stream {
	s := d.b.streams[name]
	if s == nil {
		sp, ok := d.ensured[name]
		if !ok {
			return nil
		}
		s = d.b.create(sp)
		d.event(transport.Event{Kind: transport.EventRecreated, Stream: name, N: 1})
	}
	return s
}

// group is stream for a group.
func (d *Driver) group(name, group, op string) (*group, error) {
	s := d.stream(name)
	if s == nil {
		return nil, &transport.Error{Code: transport.CodeNotFound, Op: op, Stream: name, Msg: "there is no such stream; Ensure makes it"}
	}
	g := s.group(group)
	if g == nil {
		return nil, &transport.Error{Code: transport.CodeNotFound, Op: op, Stream: name, Msg: "the stream has no group " + strconv.Quote(group) + "; Ensure makes it"}
	}
	return g, nil
}

// Lag implements transport.Driver. A member counts as alive from the first Receive that lists the stream until it is closed
// or lists it no more.
func (d *Driver) Lag(ctx context.Context, stream, group string) (transport.Lag, error) {
	if err := d.enter(ctx, "lag"); err != nil {
		return transport.Lag{}, err
	}
	defer d.unlock()
	g, err := d.group(stream, group, "lag")
	if err != nil {
		return transport.Lag{}, err
	}
	return g.lag(d.b.now()), nil
}

// Close implements transport.Driver. It does not block. Other drivers on the broker go on.
func (d *Driver) Close(context.Context) error {
	d.b.mu.Lock()
	defer d.unlock()
	d.close(true)
	return nil
}

// close ends everything; with free, unsettled deliveries are given back at once.
func (d *Driver) close(free bool) {
	d.closed = true
	for c := range d.consumers {
		c.leave(free)
	}
	for t := range d.tailers {
		t.detach()
	}
}
