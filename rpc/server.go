package rpc

import (
	"context"
	"log/slog"
	"time"

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
	// nil means 10, 20 and 30 s.
	RetryDelays []time.Duration
	// DedupWindow is how many recent request ids are remembered to run each once; 0 means DefaultDedupWindow.
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
type Server struct{}

// NewServer checks cfg and returns a server; nothing is read before Run. The driver stays the caller's. The error names the
// setting that is wrong.
func NewServer(d transport.Driver, cfg ServerConfig) (*Server, error) { panic("under construction") }

// Handle serves function with h. It panics on a second handler for one name, and after Run began.
func (s *Server) Handle(function string, h Handler) { panic("under construction") }

// Fallback serves all functions that have no handler of their own.
func (s *Server) Fallback(h Handler) { panic("under construction") }

// Run creates the streams and groups, joins, and serves until ctx ends; then it takes nothing more, waits for running
// handlers up to DrainTimeout, settles them, gives back what it holds unstarted, and returns nil. It keeps trying while the
// broker is away; it returns an error only when starting is impossible (credentials, unsupported, bad names).
func (s *Server) Run(ctx context.Context) error { panic("under construction") }

// Ready reports nil once the server has joined and while it receives; otherwise why not. It does not block.
func (s *Server) Ready() error { panic("under construction") }

// Reconfigure swaps the streams and slots while running: running handlers end under the old assignment. On an error,
// which names the setting, nothing has changed.
func (s *Server) Reconfigure(slots int, streams []StreamConfig) error { panic("under construction") }
