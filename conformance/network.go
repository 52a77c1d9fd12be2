package conformance

import (
	"net/url"

	"github.com/streamerson/streamerson/conformance/proxy"
	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

func needProxy(e *Env) string {
	if e.h.Addr == "" || e.h.OpenVia == nil {
		return "the harness gives no Harness.Addr and Harness.OpenVia, so no proxy can stand before the broker"
	}
	return ""
}

// hop puts a proxy before the broker. It goes when the drivers are closed.
func (e *Env) hop() *proxy.Proxy {
	e.Helper()
	p, err := proxy.Start(e.h.Addr)
	if err != nil {
		e.Fatalf("%v", err)
	}
	e.atLast(p.Close)
	return p
}

// openVia connects a driver through a proxy, to be closed when the scenario ends.
func (e *Env) openVia(p *proxy.Proxy) transport.Driver {
	e.Helper()
	ctx, cancel := e.ctx(4 * patience)
	defer cancel()
	d, err := e.h.OpenVia(ctx, p.Addr())
	if err != nil {
		e.Fatalf("open through a proxy: %v", err)
	}
	e.drivers = append(e.drivers, d)
	return d
}

// clientVia is client through a proxy, workerVia is local.
func (s *system) clientVia(p *proxy.Proxy) (*rpc.Client, *counts) {
	s.Helper()
	d, r := s.record("client"+itoa(s.number()), s.openVia(p))
	return s.clientOn(d, r.Client)
}

func (s *system) workerVia(p *proxy.Proxy) {
	s.Helper()
	d, r := s.record("local"+itoa(s.number()), s.openVia(p))
	s.localOn(d, r, nil)
}

// fix fails the scenario when a proxy can't do what it is asked for.
func (e *Env) fix(err error) {
	e.Helper()
	if err != nil {
		e.Fatalf("%v", err)
	}
}

// atMostOnce notes that what is in a connection that breaks is lost, where nothing is stored.
func (s *system) atMostOnce() {
	if !s.caps.Stored {
		s.loses("Stored isn't claimed: what is on its way through a connection that breaks is lost")
	}
}

// ViaHost is a broker's URL with another host:port: for Harness.OpenVia, where a driver connects to nothing but what its URL
// names.
func ViaHost(rawURL, addr string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return rawURL // opening it says what is wrong
	}
	u.Host = addr
	q := u.Query()
	q.Set("dial_timeout", "3s")
	u.RawQuery = q.Encode()
	return u.String()
}
