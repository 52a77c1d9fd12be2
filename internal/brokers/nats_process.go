package brokers

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"
)

// envNATSChild carries a child's configuration to ServeNATSChild.
const envNATSChild = "STREAMERSON_NATS_CHILD"

// ServeNATSChild runs a nats-server and never returns, if this process was started for that by StartNATSProcess; otherwise
// it does nothing. A test binary calls it first in TestMain. The server ends with the process that started it.
func ServeNATSChild() {
	raw := os.Getenv(envNATSChild)
	if raw == "" {
		return
	}
	var cfg NATSConfig
	if err := json.Unmarshal([]byte(raw), &cfg); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	n, err := StartNATS(context.Background(), cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // ends with the parent, however that ends, or when it closes its side
	n.Stop()
	os.Exit(0)
}

// NATSProcess is a nats-server in a process of its own, which can be killed and stopped. Its methods may be called
// concurrently with its users, but not with each other.
type NATSProcess struct {
	// URL is what to give to transport.Open; Addr its host and port.
	URL, Addr string
	// Pid of the server.
	Pid int

	cfg   NATSConfig
	stdin io.Closer
	proc  *process
}

// StartNATSProcess starts this program's binary again as a nats-server; it must call ServeNATSChild. Configure isn't possible.
// It returns when the server takes connections.
func StartNATSProcess(ctx context.Context, cfg NATSConfig) (*NATSProcess, error) {
	n := &NATSProcess{cfg: cfg}
	var err error
	if n.cfg.Port == 0 {
		if n.cfg.Port, err = FreePort(); err != nil {
			return nil, err
		}
	}
	if n.cfg.Dir == "" {
		if n.cfg.Dir, err = os.MkdirTemp("", "streamerson-nats-"); err != nil {
			return nil, err
		}
	}
	n.Addr, n.URL = natsAddress(n.cfg)
	if err := n.Start(ctx); err != nil {
		return nil, err
	}
	return n, nil
}

// Start starts the server again on its port and directory, after Kill9 or Terminate.
func (n *NATSProcess) Start(ctx context.Context) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	text, err := json.Marshal(n.cfg)
	if err != nil {
		return err
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), envNATSChild+"="+string(text))
	cmd.Stderr = os.Stderr
	if n.stdin, err = cmd.StdinPipe(); err != nil {
		return err
	}
	p, err := startProcess(cmd)
	if err != nil {
		return err
	}
	n.proc, n.Pid = p, cmd.Process.Pid
	ctx, cancel := context.WithTimeout(ctx, natsStartTimeout)
	defer cancel()
	for !natsReady(n.Addr) {
		select {
		case <-p.exited:
			return fmt.Errorf("brokers: the nats-server on %s ended at once", n.Addr)
		case <-ctx.Done():
			_ = n.Kill9()
			return fmt.Errorf("brokers: the nats-server on %s takes no connections: %w", n.Addr, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// natsReady reports whether a server introduces itself at addr; it does so once it is ready.
func natsReady(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	line, err := bufio.NewReader(c).ReadString('\n')
	return err == nil && strings.HasPrefix(line, "INFO ")
}

// Kill9 kills the server as a crash would, and returns when its process is gone.
func (n *NATSProcess) Kill9() error {
	err := n.proc.cmd.Process.Kill()
	<-n.proc.exited
	return err
}

// Terminate ends the server in an orderly way, and keeps its files for Start.
func (n *NATSProcess) Terminate() {
	_ = n.stdin.Close()
	<-n.proc.exited
}

// Restart terminates the server and starts it again.
func (n *NATSProcess) Restart(ctx context.Context) error {
	n.Terminate()
	return n.Start(ctx)
}

// Stop ends the server and removes its directory. A second Stop is harmless.
func (n *NATSProcess) Stop() {
	_ = n.proc.cmd.Process.Kill()
	<-n.proc.exited
	_ = n.stdin.Close()
	_ = os.RemoveAll(n.cfg.Dir)
}
