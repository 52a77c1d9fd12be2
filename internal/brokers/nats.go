package brokers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// NATSVersion is the version of the nats-server that is built in.
const NATSVersion = server.VERSION

// natsStartTimeout bounds one start until the server takes connections: recovering big streams needs seconds.
const natsStartTimeout = 30 * time.Second

// NATSConfig says what kind of server to start. The zero value is a server with JetStream and without a password on a free
// port.
type NATSConfig struct {
	// User and Password that clients must give; "" means none.
	User, Password string
	// NoJetStream starts a server with core NATS only.
	NoJetStream bool
	// MaxPayload is the largest message in bytes; 0 means the server's default, 1 MiB.
	MaxPayload int32
	// MaxStore bounds JetStream's files in bytes; 0 means what the disk has.
	MaxStore int64
	// Port, 0 means a free one.
	Port int
	// Dir holds the streams, and is kept; "" means a temporary one that Stop removes.
	Dir string
	// Own insists on a server of one's own, one that may be killed, even when EnvNATSURL is set. StartNATS never takes another.
	Own bool
	// Launcher starts the server when EnvFrom is container; package brokerstest sets it.
	Launcher Launcher `json:"-"`
	// Configure may change the server's options before each start, for what is not named here.
	Configure func(*server.Options) `json:"-"`
}

// NATS is a nats-server inside this process. Its methods may be called concurrently with its users, but not with each other.
type NATS struct {
	// URL is what to give to transport.Open; Addr its host and port.
	URL, Addr string
	// Dir has the streams.
	Dir string

	cfg     NATSConfig
	tempDir bool
	s       *server.Server
}

// StartNATS starts a nats-server on loopback and returns when it takes connections. It needs nothing installed. ctx bounds
// only the start.
func StartNATS(ctx context.Context, cfg NATSConfig) (*NATS, error) {
	n := &NATS{cfg: cfg, Dir: cfg.Dir}
	if n.Dir == "" {
		dir, err := os.MkdirTemp("", "streamerson-nats-")
		if err != nil {
			return nil, err
		}
		n.Dir, n.tempDir = dir, true
	}
	if err := n.Start(ctx); err != nil {
		n.removeDir()
		return nil, err
	}
	return n, nil
}

// Start starts the server again on its port and directory, after Terminate.
func (n *NATS) Start(ctx context.Context) error {
	o := &server.Options{
		Host: "127.0.0.1", Port: n.cfg.Port, NoSigs: true, NoLog: true, JetStream: !n.cfg.NoJetStream, StoreDir: n.Dir,
		JetStreamMaxStore: n.cfg.MaxStore, MaxPayload: n.cfg.MaxPayload, Username: n.cfg.User, Password: n.cfg.Password,
	}
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	if n.cfg.Configure != nil {
		n.cfg.Configure(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		return fmt.Errorf("brokers: nats-server: %w", err)
	}
	go s.Start()
	wait := natsStartTimeout
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(end))
	}
	if !s.ReadyForConnections(wait) {
		s.Shutdown()
		return errors.New("brokers: nats-server is not ready for connections on port " + strconv.Itoa(n.cfg.Port))
	}
	n.s, n.cfg.Port = s, s.Addr().(*net.TCPAddr).Port
	n.Addr, n.URL = natsAddress(n.cfg)
	return nil
}

func natsAddress(cfg NATSConfig) (addr, rawURL string) {
	addr = loopback(cfg.Port)
	u := url.URL{Scheme: "nats", Host: addr}
	if cfg.User != "" {
		u.User = url.UserPassword(cfg.User, cfg.Password)
	}
	return addr, u.String()
}

// Terminate ends the server in an orderly way and keeps its files for Start. It returns when it is gone.
func (n *NATS) Terminate() {
	n.s.Shutdown()
	n.s.WaitForShutdown()
}

// Restart terminates the server and starts it again.
func (n *NATS) Restart(ctx context.Context) error {
	n.Terminate()
	return n.Start(ctx)
}

// Stop ends the server and removes its directory, if that was temporary. A second Stop is harmless.
func (n *NATS) Stop() {
	n.Terminate()
	n.removeDir()
}

func (n *NATS) removeDir() {
	if n.tempDir {
		_ = os.RemoveAll(n.Dir)
	}
}
