package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/rpc/wire"
)

// Caller is what a Gateway needs of an rpc.Client.
type Caller interface {
	// Call publishes req and waits for its reply. req, with its Body and Header, is the gateway's again when it returns.
	Call(ctx context.Context, req *rpc.Request) (*rpc.Response, error)
	// Send publishes a one-way message and returns when the broker accepted it.
	Send(ctx context.Context, req *rpc.Request) error
	// Ready is nil while replies can be read. It does not block.
	Ready() error
	// Watch says that calls to stream are to be expected. It does not block.
	Watch(stream string)
}

// Config has the settings of a Gateway. The zero value works but for Routes, without which everything is 404.
type Config struct {
	// Routes can be replaced later, see Gateway.SetRoutes.
	Routes []Route
	// BodyLimit is the largest request body in bytes, unless a route says otherwise; more is 413. 0 means DefaultBodyLimit.
	BodyLimit int64
	// HeaderLimit bounds a request's header in bytes, its request line included; more is 431. 0 means DefaultHeaderLimit,
	// which is also the most: an envelope carries no more.
	HeaderLimit int
	// MaxInFlight bounds the requests under way, over all routes; one more is 503 at once. 0 means DefaultMaxInFlight.
	MaxInFlight int
	// Timeout bounds a call, counted from when its body has been read, unless its route says otherwise; then it is 504.
	// 0 means rpc.DefaultTimeout.
	Timeout time.Duration
	// WriteTimeout is how long a client may take to read an answer. It holds under a Server. 0 means DefaultWriteTimeout.
	WriteTimeout time.Duration
	// CORS is off by default.
	CORS CORSConfig
	// Auth says who calls a route that is not Public; nil lets anyone in, without an identity.
	Auth Authenticator
	// ForwardAuthorization passes the Authorization header on to the worker even where Auth has read it. By default it is
	// then left out, since a token is a secret that would lie in the stream: the worker gets the identity instead.
	ForwardAuthorization bool
	// IdentityHeaders are further names that must never come from outside, besides those in DefaultIdentityHeaders, because
	// some service believes them. Every spelling is taken out: case, and any of _ . and the like for -.
	IdentityHeaders []string
	// TrustedProxies are addresses (10.1.2.3) or networks (10.0.0.0/8) whose X-Forwarded-* headers are believed. Default none.
	TrustedProxies []string
	// ServerTiming adds a Server-Timing header to each answer. It tells outsiders about queues.
	ServerTiming bool
	// Observer may be nil.
	Observer Observer
	// AccessLog gets a line for each request: route, path, status, bytes, time, request id; no query, no header, no body.
	// nil means no access log.
	AccessLog *slog.Logger
	// Logger gets what an operator should look at; nil means slog.Default.
	Logger *slog.Logger
}

// Defaults of Config.
const (
	DefaultBodyLimit    = 8 << 20
	DefaultHeaderLimit  = wire.MaxFieldBytes
	DefaultMaxInFlight  = 4096
	DefaultWriteTimeout = 30 * time.Second
)

func (c *Config) check() error {
	switch {
	case c.BodyLimit < 0:
		return errors.New("gateway: Config.BodyLimit must not be negative")
	case c.HeaderLimit < 0 || c.HeaderLimit > DefaultHeaderLimit:
		return fmt.Errorf("gateway: Config.HeaderLimit must be between 0 and %d bytes, which is what an envelope carries", DefaultHeaderLimit)
	case c.MaxInFlight < 0:
		return errors.New("gateway: Config.MaxInFlight must not be negative")
	case c.Timeout < 0 || c.WriteTimeout < 0:
		return errors.New("gateway: Config.Timeout and Config.WriteTimeout must not be negative")
	}
	if c.BodyLimit == 0 {
		c.BodyLimit = DefaultBodyLimit
	}
	if c.HeaderLimit == 0 {
		c.HeaderLimit = DefaultHeaderLimit
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = DefaultMaxInFlight
	}
	if c.Timeout == 0 {
		c.Timeout = rpc.DefaultTimeout
	}
	if c.WriteTimeout == 0 {
		c.WriteTimeout = DefaultWriteTimeout
	}
	if c.Observer == nil {
		c.Observer = nopObserver{}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c.CORS.check()
}

// parseProxies reads addresses and networks.
func parseProxies(list []string) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			a, aerr := netip.ParseAddr(strings.TrimSpace(s))
			if aerr != nil {
				return nil, fmt.Errorf("gateway: Config.TrustedProxies[%d]: %q is neither an address (10.1.2.3) nor a network (10.0.0.0/8)", i, s)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		out[i] = p.Masked()
	}
	return out, nil
}
