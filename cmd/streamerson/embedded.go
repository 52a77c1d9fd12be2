package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/streamerson/streamerson/internal/brokers"
)

const (
	// embeddedPort is NATS's usual one, so that a worker in another process needs no argument but the host.
	embeddedPort = 4222
	// embeddedPayload is the largest message that the nats-server inside takes, in bytes: what the Redis driver takes as well, and
	// room for an envelope. nats-server's own default is 1 MiB.
	embeddedPayload = 16<<20 + 64<<10
)

func addBrokerPortFlag(cmd *cobra.Command) {
	cmd.Flags().Int("broker-port", 0, fmt.Sprintf("port of 127.0.0.1 for the nats-server inside (default %d, or a free one when that is taken)", embeddedPort))
}

// startEmbedded starts a nats-server inside this process, whose streams end with it. scheme is nats, or nats+core for a server
// without JetStream. Workers in other processes can join: it listens on loopback, without a password.
func startEmbedded(ctx context.Context, cmd *cobra.Command, scheme string) (demoBroker, error) {
	port, err := brokerPort(cmd)
	if err != nil {
		return demoBroker{}, err
	}
	cfg := brokers.NATSConfig{MaxPayload: embeddedPayload, NoJetStream: scheme == "nats+core", Port: port}
	n, err := brokers.StartNATS(ctx, cfg)
	if err != nil {
		return demoBroker{}, err
	}
	u := scheme + strings.TrimPrefix(n.URL, "nats")
	return demoBroker{url: u, about: "NATS inside this process at " + u, stop: n.Stop}, nil
}

// brokerPort is what --broker-port says, which must be free, or the usual one if that is free, or 0: the server finds one.
func brokerPort(cmd *cobra.Command) (int, error) {
	port, err := cmd.Flags().GetInt("broker-port")
	asked := cmd.Flags().Changed("broker-port")
	switch {
	case err != nil || asked && port == 0:
		return 0, err
	case !asked:
		port = embeddedPort
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	switch {
	case err == nil:
		return port, l.Close()
	case asked:
		return 0, usageError(fmt.Errorf("--broker-port %d: %w; give another one, or 0 for a free one", port, err))
	}
	return 0, nil
}
