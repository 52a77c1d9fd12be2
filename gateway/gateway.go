package gateway

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Gateway answers HTTP requests by calls. It is an http.Handler whose methods may be called concurrently. Under a server
// other than this package's Server it can't see a request with both Content-Length and Transfer-Encoding as such: net/http
// hides the first. It still closes the connection after every chunked request, so that nothing can be smuggled behind one.
type Gateway struct {
	caller   Caller
	cfg      Config
	names    names
	proxies  []netip.Prefix
	inFlight *slots

	table    atomic.Pointer[table]
	reload   sync.Mutex // held while routes are replaced
	draining atomic.Bool
	warnings rate.Sometimes // for lines that every request could cause
}

// New checks cfg and makes a Gateway. The caller, usually an *rpc.Client, stays the caller's to close.
func New(caller Caller, cfg Config) (*Gateway, error) {
	if caller == nil {
		return nil, errors.New("gateway: New needs a caller, such as an *rpc.Client")
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	g := &Gateway{caller: caller, cfg: cfg, inFlight: newSlots(cfg.MaxInFlight), warnings: rate.Sometimes{Interval: time.Second}}
	var err error
	if g.names, err = newNames(cfg.IdentityHeaders); err != nil {
		return nil, err
	}
	if g.proxies, err = parseProxies(cfg.TrustedProxies); err != nil {
		return nil, err
	}
	return g, g.SetRoutes(cfg.Routes)
}

// SetRoutes replaces all routes at once; requests under way end by the old ones. On an error, which names the route's index
// and field, nothing changes. The limits of a route that stays count what is under way already.
func (g *Gateway) SetRoutes(routes []Route) error {
	g.reload.Lock()
	defer g.reload.Unlock()
	t, err := newTable(&g.cfg, routes, g.table.Load())
	if err != nil {
		return err
	}
	g.table.Store(t)
	for _, r := range routes {
		g.caller.Watch(r.Stream)
	}
	return nil
}

// Routes returns the routes in force, as they were given. The slice is the caller's.
func (g *Gateway) Routes() []Route { return slices.Clone(g.table.Load().routes) }

// InFlight is the number of requests under way that hold a slot.
func (g *Gateway) InFlight() int { return int(g.inFlight.count.Load()) }

var errDraining = errors.New("gateway: shutting down")

// Ready is nil while requests can be answered: the reply lane is attached and no shutdown has begun. It does not block.
func (g *Gateway) Ready() error {
	if g.draining.Load() {
		return errDraining
	}
	return g.caller.Ready()
}

// ServeHTTP answers one request. It blocks until the answer is written.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := newExchange(g, w, r)
	g.cfg.Observer.RequestStart()
	defer x.end()
	if x.framingConflict() {
		x.fail(twoLengths)
		return
	}
	t := g.table.Load()
	if t.cors != nil {
		x.cors = true
		if isPreflight(r) {
			t.cors.HandlerFunc(x, r)
			return
		}
		t.cors.HandlerFunc(w, r)
	}
	if r.Method == http.MethodConnect || r.Method == http.MethodTrace {
		x.fail(methodNotServed)
		return
	}
	t.serve(x, r)
}
