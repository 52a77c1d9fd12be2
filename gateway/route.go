package gateway

import (
	"cmp"
	"fmt"
	"net/http"

	"slices"
	"strings"
	"time"

	"github.com/rs/cors"
	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
	"golang.org/x/net/http/httpguts"
)

// Route sends the requests of one method and path pattern to one function on one stream.
type Route struct {
	// Method is exact, but that GET answers HEAD as well; "" is any method. CONNECT and TRACE are never served.
	Method string
	// Path is a pattern of net/http's ServeMux: /posts/{id}, /files/{rest...}, /posts/{$}. /posts/:id means /posts/{id}.
	Path string
	// Stream and Function name the receiver. Function "" means "METHOD pattern", as in "GET /posts/{id}".
	Stream, Function string
	// Timeout bounds a call; 0 means Config.Timeout. A one-way route has it to get the broker's acceptance.
	Timeout time.Duration
	// BodyLimit in bytes; 0 means Config.BodyLimit.
	BodyLimit int64
	// MaxInFlight bounds this route's requests under way; one more is 503 at once. 0 means only Config.MaxInFlight.
	MaxInFlight int
	// Public routes are served without asking Config.Auth.
	Public bool
	// OneWay answers 202 as soon as the broker has the request; nobody waits for a reply.
	OneWay bool
	// Pack lets requests that come at the same moment share a message, while their handlers are quick: see rpc.Request.Pack.
	// It has no effect on a one-way route.
	Pack bool
}

// Pattern is the route as it is matched, logged and observed: "GET /posts/{id}".
func (r Route) Pattern() string {
	if r.Method == "" {
		return pathPattern(r.Path)
	}
	return r.Method + " " + pathPattern(r.Path)
}

// pathPattern turns :name segments into {name}.
func pathPattern(p string) string {
	if !strings.Contains(p, "/:") {
		return p
	}
	segments := strings.Split(p, "/")
	for i, s := range segments {
		if len(s) > 1 && s[0] == ':' {
			segments[i] = "{" + s[1:] + "}"
		}
	}
	return strings.Join(segments, "/")
}

// route is a Route with all that a request would otherwise work out anew.
type route struct {
	Route    // Function, Timeout and BodyLimit are filled in
	pattern  string
	params   []param
	inFlight *slots
}

// param is a path parameter and the header field that carries it.
type param struct{ name, field string }

// ServeHTTP is called by the table's mux with the exchange as writer.
func (rt *route) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	x := w.(*exchange)
	x.route = rt
	x.serve(rt)
}

// table is one set of routes, never changed once it is in use.
type table struct {
	mux    *http.ServeMux
	routes []Route
	byName map[string]*route // by pattern
	exact  map[target]*route // those that match one method and path only, and so win over all others there
	cors   *cors.Cors        // nil without CORS
}

// target is what most requests are matched by: a method and a path that is the same escaped and unescaped.
type target struct{ method, path string }

// exactly returns what rt matches if it is one target. The mux would take a path apart, clean it and walk its tree.
func (rt *route) exactly() (t target, ok bool) {
	return target{rt.Method, rt.Path}, rt.Method != "" && len(rt.params) == 0 && rt.pattern == rt.Method+" "+rt.Path &&
		all(rt.Path, inPath) && !strings.HasSuffix(rt.Path, "/") // there "/{$}" may win
}

// serve hands the request to the route that it matches, or answers as the mux does.
func (t *table) serve(x *exchange, r *http.Request) {
	if r.URL.RawPath == "" {
		if rt := t.exact[target{r.Method, r.URL.Path}]; rt != nil {
			r.Pattern = rt.pattern
			rt.ServeHTTP(x, r)
			return
		}
	}
	t.mux.ServeHTTP(x, r)
}

// newTable checks routes; old, which may be nil, gives the counters of routes that stay.
func newTable(cfg *Config, routes []Route, old *table) (*table, error) {
	t := &table{mux: http.NewServeMux(), routes: slices.Clone(routes), byName: make(map[string]*route, len(routes)), exact: map[target]*route{}}
	all := make([]*route, 0, len(routes))
	for i, r := range routes {
		rt, err := newRoute(cfg, r)
		if err != nil {
			return nil, fmt.Errorf("gateway: routes[%d].%w", i, err)
		}
		if why := register(t.mux, rt); why != "" {
			return nil, conflict(all, i, rt, why)
		}
		rt.inFlight = newSlots(r.MaxInFlight)
		if old != nil && old.byName[rt.pattern] != nil {
			rt.inFlight.count = old.byName[rt.pattern].inFlight.count // those under way still count
		}
		t.byName[rt.pattern] = rt
		if one, ok := rt.exactly(); ok {
			t.exact[one] = rt
		}
		all = append(all, rt)
	}
	t.cors = cfg.CORS.handler(all)
	return t, nil
}

func newRoute(cfg *Config, r Route) (*route, error) {
	pattern := r.Pattern()
	switch {
	case r.Method != "" && (!httpguts.ValidHeaderFieldName(r.Method) || r.Method != strings.ToUpper(r.Method)):
		return nil, fmt.Errorf("method: %q is not a method; write one in capitals, such as GET, or nothing for any", r.Method)
	case r.Method == http.MethodConnect || r.Method == http.MethodTrace:
		return nil, fmt.Errorf("method: %s is never served by a gateway", r.Method)
	case !strings.HasPrefix(r.Path, "/"):
		return nil, fmt.Errorf("path: %q does not begin with /", r.Path)
	case r.Timeout < 0:
		return nil, fmt.Errorf("timeout: must not be negative")
	case r.BodyLimit < 0:
		return nil, fmt.Errorf("body_limit: must not be negative")
	case r.MaxInFlight < 0:
		return nil, fmt.Errorf("in_flight: must not be negative")
	}
	if err := transport.CheckName(r.Stream); err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	r.Function = cmp.Or(r.Function, pattern)
	r.Timeout = cmp.Or(r.Timeout, cfg.Timeout)
	r.BodyLimit = cmp.Or(r.BodyLimit, cfg.BodyLimit)
	rt := &route{Route: r, pattern: pattern}
	for segment := range strings.SplitSeq(pathPattern(r.Path), "/") {
		name, ok := strings.CutPrefix(segment, "{")
		if !ok || segment == "{$}" {
			continue
		}
		name = strings.TrimSuffix(strings.TrimSuffix(name, "}"), "...")
		if slices.ContainsFunc(rt.params, func(p param) bool { return strings.EqualFold(p.name, name) }) {
			return nil, fmt.Errorf("path: the parameter %q comes twice; header fields don't tell upper from lower case", name)
		}
		rt.params = append(rt.params, param{name, rpc.HeaderParam + name})
	}
	return rt, nil
}

// register returns why the mux refused, "" if it did not: it tells by a panic.
func register(mux *http.ServeMux, rt *route) (why string) {
	defer func() {
		if p := recover(); p != nil {
			why = fmt.Sprint(p)
		}
	}()
	mux.Handle(rt.pattern, rt)
	return ""
}

// conflict names the two routes that can't both be there, or the fault in the one pattern.
func conflict(before []*route, i int, rt *route, why string) error {
	if register(http.NewServeMux(), rt) == "" {
		for j, other := range before {
			mux := http.NewServeMux()
			if register(mux, other) == "" && register(mux, rt) != "" {
				return fmt.Errorf("gateway: routes[%d].path: %q conflicts with %q of routes[%d]: some requests match both and neither is more specific", i, rt.pattern, other.pattern, j)
			}
		}
	}
	if _, reason, ok := strings.Cut(why, ": "); ok {
		why = reason // the mux begins with the pattern, which is named already
	}
	return fmt.Errorf("gateway: routes[%d].path: %q is not a valid pattern: %s", i, rt.pattern, why)
}
