package main

import (
	"context"
	"errors"
	"net"

	"github.com/streamerson/streamerson/config"
	"github.com/streamerson/streamerson/rpc"
)

type gatewayServer struct{}

func (s *service) newGateway(client *rpc.Client) (*gatewayServer, error) {
	return nil, errors.New("stub")
}
func (s *service) serveGateway(ctx context.Context, g *gatewayServer) error { return nil }
func (g *gatewayServer) reload(c *config.Config) error                      { return nil }
func (g *gatewayServer) ready() error                                       { return nil }
func (g *gatewayServer) addr() string                                       { return "" }

func benchGateway(ctx context.Context, ln net.Listener, url, stream string) error {
	return errors.New("stub")
}
