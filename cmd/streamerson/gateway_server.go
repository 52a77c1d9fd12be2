package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/streamerson/streamerson/bench/parts"
	"github.com/streamerson/streamerson/config"
	"github.com/streamerson/streamerson/gateway"
	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

// gatewayServer is a gateway that listens already.
type gatewayServer struct {
	gateway *gateway.Gateway
	server  *gateway.Server
}

// newGateway makes the gateway that the configuration describes, and takes its address.
func (s *service) newGateway(client *rpc.Client) (*gatewayServer, error) {
	c := s.cfg.Gateway
	cfg := gateway.Config{
		Routes: gatewayRoutes(s.cfg), BodyLimit: int64(c.Limits.Body), HeaderLimit: int(c.Limits.Header), MaxInFlight: c.Limits.InFlight,
		Timeout: c.Timeouts.Call.D(), WriteTimeout: c.Timeouts.Write.D(),
		CORS:                 gateway.CORSConfig{Origins: c.CORS.Origins, Methods: c.CORS.Methods, Headers: c.CORS.Headers, Credentials: c.CORS.Credentials, MaxAge: c.CORS.MaxAge.D()},
		ForwardAuthorization: c.ForwardAuthorization, IdentityHeaders: c.IdentityHeaders, TrustedProxies: c.TrustedProxies,
		ServerTiming: c.ServerTiming, Observer: newHTTPMetrics(s.metrics.Registry()), Logger: s.log,
	}
	if len(c.CORS.Methods) == 0 {
		cfg.CORS.Methods = nil // those of the routes, also for a list that is written as []
	}
	if c.AccessLog {
		cfg.AccessLog = s.log
	}
	if j := c.Auth.JWT; j != nil {
		auth, err := gateway.NewJWT(gateway.JWTConfig{
			Algorithms: j.Algorithms, Issuer: j.Issuer, Audience: j.Audience, KeyFile: j.KeyFile, JWKSFile: j.JWKSFile, SecretFile: j.SecretFile,
			Leeway: j.Leeway.D(), Claims: j.Claims, IdentityClaims: j.IdentityClaims, Logger: s.log,
		})
		if err != nil {
			return nil, s.settingError("gateway.auth.jwt", err)
		}
		cfg.Auth = auth
	}
	g, err := gateway.New(client, cfg)
	if err != nil {
		return nil, s.settingError("gateway", err)
	}
	server, err := gateway.NewServer(g, gateway.ServerConfig{
		Addr: c.Listen, AddrName: s.sourceOf("gateway.listen"), CertFile: c.TLS.Cert, KeyFile: c.TLS.Key, H2C: c.H2C, ReusePort: c.PortSharing, OnlyNetHTTP: c.OnlyNetHTTP,
		ReadHeaderTimeout: c.Timeouts.Header.D(), ReadTimeout: c.Timeouts.Read.D(), IdleTimeout: c.Timeouts.Idle.D(), LameDuck: c.Timeouts.LameDuck.D(),
		Logger: s.log,
		Wrap:   func(h http.Handler) http.Handler { return s.tracing.HTTP(h, s.cfg.Tracing.TrustCallers) },
	})
	if _, isNet := errors.AsType[*net.OpError](err); isNet {
		return nil, err
	}
	if err != nil {
		return nil, s.settingError("gateway.tls", err)
	}
	return &gatewayServer{gateway: g, server: server}, nil
}

// sourceOf names the flag or variable that set a setting, else the setting itself.
func (s *service) sourceOf(path string) string {
	if src := s.cfg.Where(path).Source; src != "" {
		return src
	}
	return path
}

// settingError says where in the file the setting is that a part refused.
func (s *service) settingError(path string, err error) error {
	return &config.Error{Problems: []config.Problem{{Position: s.cfg.Where(path), Path: path, Message: oneLine(strings.TrimPrefix(err.Error(), "gateway: "))}}}
}

// serveGateway answers requests until ctx ends, and then drains.
func (s *service) serveGateway(ctx context.Context, g *gatewayServer) error {
	s.check("gateway", g.ready)
	scheme := "http"
	if s.cfg.Gateway.TLS.Cert != "" {
		scheme = "https"
	}
	s.log.Info("gateway listens", "addr", scheme+"://"+g.addr(), "routes", len(s.cfg.Gateway.Routes))
	stop := context.AfterFunc(ctx, func() { s.log.Info("gateway drains: calls in flight are answered, no new connection is taken") })
	defer stop()
	if err := g.server.Run(ctx, s.cfg.Gateway.Timeouts.Drain.D()); err != nil {
		return err
	}
	s.log.Info("gateway stopped")
	return nil
}

func (g *gatewayServer) addr() string { return g.server.Addr().String() }
func (g *gatewayServer) ready() error { return g.gateway.Ready() }

// reload replaces the routes.
func (g *gatewayServer) reload(next *config.Config) error {
	return g.gateway.SetRoutes(gatewayRoutes(next))
}

func gatewayRoutes(cfg *config.Config) []gateway.Route {
	out := make([]gateway.Route, len(cfg.Gateway.Routes))
	for i, r := range cfg.Gateway.Routes {
		method, path, _ := strings.Cut(r.Match, " ")
		out[i] = gateway.Route{
			Method: method, Path: strings.TrimSpace(path), Stream: r.Stream, Function: r.Function, Timeout: r.Timeout.D(),
			BodyLimit: int64(r.BodyLimit), MaxInFlight: r.InFlight, Public: r.Public, OneWay: r.OneWay, Pack: r.Pack,
		}
	}
	return out
}

// benchGateway is the gateway of the benchmark's gateway leg: as `streamerson gateway` would be, without metrics and traces on
// either side of the comparison.
func benchGateway(ctx context.Context, o parts.GatewayOrder) error {
	keepBallast()
	d, err := transport.Default.Open(ctx, o.URL, transport.Options{Logger: quietLogger})
	if err != nil {
		return err
	}
	defer closeQuietly(d.Close)
	client, err := rpc.NewClient(ctx, d, rpc.ClientConfig{Name: "bench", Observer: o.Observer, Logger: quietLogger})
	if err != nil {
		return err
	}
	defer closeQuietly(client.Close)
	var routes []gateway.Route
	for _, r := range o.Echo {
		routes = append(routes, gateway.Route{Method: http.MethodPost, Path: r.Path, Stream: r.Stream, Function: "echo", Pack: r.Pack})
	}
	for i := range o.Idle {
		routes = append(routes, gateway.Route{Method: http.MethodPost, Path: fmt.Sprintf("/idle/%d/{id}", i), Stream: o.Echo[0].Stream, Function: "idle"})
	}
	g, err := gateway.New(client, gateway.Config{Routes: routes, Logger: quietLogger})
	if err != nil {
		return err
	}
	server, err := gateway.NewServer(g, gateway.ServerConfig{Listener: o.Listener, Logger: quietLogger})
	if err != nil {
		return fmt.Errorf("bench gateway: %w", err)
	}
	return server.Run(ctx, rpc.DefaultDrainTimeout)
}
