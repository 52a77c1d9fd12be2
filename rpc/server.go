package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
)

// StreamConfig says how a server serves one stream.
type StreamConfig struct {
	// Name of the stream.
	Name string
	// Min is how many of the server's slots are reserved for this stream: no other stream takes them, unless Lend.
	Min int
	// Weight shares the unreserved slots between streams that wait; 0 means 1.
	Weight int
	// Max bounds the stream's slots; 0 means all.
	Max int
	// Lend lets other streams use this stream's reserved slots while it is idle; it gets them back as their handlers end.
	Lend bool
	// MaxBacklog, see transport.StreamSpec.
	MaxBacklog int64
}

// ServerConfig has the settings of a server.
type ServerConfig struct {
	// Group, "" means DefaultGroup.
	Group string
	// Name of this worker within the group, unique; "" means that the driver makes one.
	Name string
	// Slots is how many handlers run at once, over all streams; 0 means DefaultSlots.
	Slots int
	// Streams to serve, at least one.
	Streams []StreamConfig
	// Lease is how long a crashed worker holds a request; 0 means transport.DefaultLease. A running handler's lease is
	// renewed each third of it, however long it runs.
	Lease time.Duration
	// MaxAttempts is how many deliveries a request gets before it is quarantined in the dead letter stream; 0 means 5.
	MaxAttempts int
	// RetryDelays are the waits before a failed one-way message's next attempts; after the last it is dead-lettered.
	// nil means 10, 20 and 30 s. A transport that doesn't claim Release has no next attempts.
	RetryDelays []time.Duration
	// DedupWindow is about how many recent request ids are remembered to run each once; 0 means DefaultDedupWindow.
	DedupWindow int
	// DrainTimeout bounds how long Run waits for running handlers after its ctx ended; 0 means DefaultDrainTimeout.
	DrainTimeout time.Duration
	// Middleware wraps every handler, the first outermost.
	Middleware []Middleware
	// Observer and Logger may be nil.
	Observer Observer
	Logger   *slog.Logger
}

// Defaults of ServerConfig.
const (
	DefaultSlots        = 64
	DefaultMaxAttempts  = 5
	DefaultDedupWindow  = 16_384
	DefaultDrainTimeout = 25 * time.Second
)

// DeadStream is the name of a stream's dead letter stream.
func DeadStream(stream string) string { return stream + ".dead" }

// Server serves streams with handlers. Register handlers before Run.
type Server struct {
	d        transport.Driver
	cfg      ServerConfig
	caps     transport.Capabilities
	handlers map[string]Handler
	fallback Handler
	running  atomic.Bool
	// Lock order: reload, then slots; leases and dedup are leaves.
	reload sync.Mutex

	slots    *slots
	leases   *leases
	dedup    *dedup
	parked   *parked
	suspects suspects
	fields   *wire.Cache
	settling *batcher[*handling]
	consumer transport.Consumer
	late     transport.LateSettler // the consumer, nil if it is none
	runners  *runners
	state    atomic.Pointer[serverState]

	// Used by the receive loop only.
	fresh []*handling

	// Used by the flush of settling only.
	packer *packer
	errs   []error
	well   []*handling

	logPanic, logSettle, logReceive, logDead rate.Sometimes
}

// serverState is what Ready reports.
type serverState struct{ err error }

// NewServer checks cfg and returns a server; nothing is read before Run. The driver stays the caller's. The error names the
// setting that is wrong.
func NewServer(d transport.Driver, cfg ServerConfig) (*Server, error) {
	if cfg.Group == "" {
		cfg.Group = DefaultGroup
	}
	if err := transport.CheckName(cfg.Group); err != nil {
		return nil, fmt.Errorf("rpc: ServerConfig.Group: %w", err)
	}
	if cfg.Slots == 0 {
		cfg.Slots = DefaultSlots
	}
	if cfg.Lease == 0 {
		cfg.Lease = transport.DefaultLease
	}
	if cfg.MaxAttempts == 0 {
		cfg.MaxAttempts = DefaultMaxAttempts
	}
	if cfg.RetryDelays == nil {
		cfg.RetryDelays = []time.Duration{10 * time.Second, 20 * time.Second, 30 * time.Second}
	}
	if cfg.DedupWindow == 0 {
		cfg.DedupWindow = DefaultDedupWindow
	}
	if cfg.DrainTimeout == 0 {
		cfg.DrainTimeout = DefaultDrainTimeout
	}
	switch {
	case cfg.Slots < 0:
		return nil, errors.New("rpc: ServerConfig.Slots must not be negative")
	case cfg.Lease < 100*time.Millisecond:
		return nil, fmt.Errorf("rpc: ServerConfig.Lease is %v; at least 100ms, so that a heartbeat fits in", cfg.Lease)
	case cfg.MaxAttempts < 1:
		return nil, errors.New("rpc: ServerConfig.MaxAttempts must not be negative")
	case cfg.DedupWindow < 1:
		return nil, errors.New("rpc: ServerConfig.DedupWindow must not be negative")
	case cfg.DrainTimeout < 0:
		return nil, errors.New("rpc: ServerConfig.DrainTimeout must not be negative")
	}
	if err := checkStreams(cfg.Slots, cfg.Streams); err != nil {
		return nil, err
	}
	if cfg.Observer == nil {
		cfg.Observer = NopObserver{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	s := &Server{
		d: d, cfg: cfg, caps: d.Capabilities(), handlers: map[string]Handler{}, leases: newLeases(), dedup: newDedup(cfg.DedupWindow), fields: wire.NewCache(),
		slots: newSlots(cfg.Slots, cfg.Streams, cfg.Observer),
	}
	for _, l := range []*rate.Sometimes{&s.logPanic, &s.logSettle, &s.logReceive, &s.logDead} {
		l.Interval = time.Second
	}
	s.parked, s.runners, s.packer = newParked(s.unpark), newRunners(s.run), newPacker(s.caps.MaxBody)
	s.state.Store(&serverState{errors.New("rpc: the server has not joined its group yet")})
	return s, nil
}

func checkStreams(slots int, streams []StreamConfig) error {
	if len(streams) == 0 {
		return errors.New("rpc: ServerConfig.Streams is empty; name at least one stream to serve")
	}
	seen, reserved := map[string]bool{}, 0
	for i, st := range streams {
		at := fmt.Sprintf("rpc: ServerConfig.Streams[%d]", i)
		if err := transport.CheckName(st.Name); err != nil {
			return fmt.Errorf("%s.Name: %w", at, err)
		}
		at += " (" + st.Name + ")"
		switch {
		case seen[st.Name]:
			return fmt.Errorf("%s: the stream is named twice", at)
		case st.Min < 0 || st.Max < 0 || st.Weight < 0 || st.MaxBacklog < 0:
			return fmt.Errorf("%s: Min, Max, Weight and MaxBacklog must not be negative", at)
		case st.Max > 0 && st.Min > st.Max:
			return fmt.Errorf("%s: Min is %d but Max is %d", at, st.Min, st.Max)
		}
		seen[st.Name] = true
		reserved += st.Min
	}
	if reserved > slots {
		return fmt.Errorf("rpc: the streams' Min add up to %d, but there are only %d slots", reserved, slots)
	}
	if reserved == slots {
		for _, st := range streams {
			if st.Min == 0 {
				return fmt.Errorf("rpc: all %d slots are reserved, so stream %s with Min 0 would never be served", slots, st.Name)
			}
		}
	}
	return nil
}

// Handle serves function with h. It panics on a second handler for one name, and after Run began.
func (s *Server) Handle(function string, h Handler) {
	if s.running.Load() {
		panic("rpc: Handle after Run")
	}
	if _, dup := s.handlers[function]; dup {
		panic("rpc: two handlers for function " + function)
	}
	s.handlers[function] = Chain(h, s.cfg.Middleware...)
}

// Fallback serves all functions that have no handler of their own.
func (s *Server) Fallback(h Handler) {
	if s.running.Load() || s.fallback != nil {
		panic("rpc: Fallback twice or after Run")
	}
	s.fallback = Chain(h, s.cfg.Middleware...)
}

// Run creates the streams and groups, joins, and serves until ctx ends; then it takes nothing more, waits for running
// handlers up to DrainTimeout, settles them, gives back what it holds unstarted, and returns nil. It keeps trying while the
// broker is away; it returns an error only when starting is impossible (credentials, unsupported, bad names), or when
// the driver was closed under it.
func (s *Server) Run(ctx context.Context) error {
	if s.running.Swap(true) {
		return errors.New("rpc: Run was called before")
	}
	if len(s.handlers) == 0 && s.fallback == nil {
		return errors.New("rpc: the server has no handler; register one with Handle or Fallback")
	}
	if err := s.join(ctx); err != nil || s.consumer == nil {
		return err
	}
	s.late, _ = s.consumer.(transport.LateSettler)
	s.settling = newBatcher(s.flushSettlements, s.settleLate)
	alive, stop := context.WithCancel(context.Background())
	var loops sync.WaitGroup
	loops.Go(func() { s.heartbeat(alive) })
	loops.Go(func() { s.readCancels(alive) })
	failed := s.receive(ctx)
	s.state.Store(&serverState{ErrDraining})
	drained := s.drain()
	stop()
	loops.Wait()
	s.settling.close()
	end, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := s.consumer.Close(end)
	s.runners.close()
	if drained { // otherwise a handler that doesn't heed its context would hold up the end
		s.runners.wait.Wait()
	}
	if err != nil {
		s.cfg.Logger.Warn("leaving the group failed; what was unsettled comes back when its lease ends", "error", err)
	}
	return failed
}

// closeTimeout bounds the last words to the broker, after the drain.
const closeTimeout = 3 * time.Second

// Ready reports nil once the server has joined and while it receives; otherwise why not. It does not block.
func (s *Server) Ready() error { return s.state.Load().err }

// Reconfigure swaps the streams and slots while running: running handlers end under the old assignment. On an error,
// which names the setting, nothing has changed.
func (s *Server) Reconfigure(slots int, streams []StreamConfig) error {
	if slots == 0 {
		slots = DefaultSlots
	}
	if err := checkStreams(slots, streams); err != nil {
		return err
	}
	s.reload.Lock()
	defer s.reload.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := s.d.Ensure(ctx, s.specs(streams)); err != nil {
		return fmt.Errorf("rpc: making the new streams: %w", err)
	}
	s.slots.configure(slots, streams)
	return nil
}

// specs lists the streams with their dead letter streams.
func (s *Server) specs(streams []StreamConfig) []transport.StreamSpec {
	var specs []transport.StreamSpec
	for _, st := range streams {
		specs = append(specs,
			transport.StreamSpec{Stream: st.Name, Groups: []string{s.cfg.Group}, MaxBacklog: st.MaxBacklog},
			transport.StreamSpec{Stream: DeadStream(st.Name)})
	}
	return specs
}
