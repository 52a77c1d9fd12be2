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
)

// Broker is a broker that runs: what Redis, Kafka and NATSProcess have in common. Its methods may be called concurrently with
// its users, but not with each other.
type Broker struct {
	// URL is what to give to transport.Open; Addr its host and port.
	URL, Addr string
	// Pid of the broker's process; 0 when it was not started here. It changes with each start.
	Pid int
	// Dir has the broker's files and its log; "" when it is a container, or was not started here.
	Dir string

	kind    string // for messages
	envURL  string // the variable that names one that runs already
	program Program
	ready   func() error
	limits  startLimits
}

// startLimits bound the waiting for a broker.
type startLimits struct {
	// start until it is ready, stop after SIGTERM until SIGKILL, tick between two looks whether it is ready.
	start, stop, tick time.Duration
}

// at is a broker that runs already.
func at(kind, envURL, address string) Broker {
	b := Broker{URL: address, kind: kind, envURL: envURL}
	if u, err := url.Parse(address); err == nil {
		b.Addr = u.Host
	}
	return b
}

// Controllable reports whether the broker was started here. The verbs of one that was not return an error.
func (b *Broker) Controllable() bool { return b.program != nil }

func (b *Broker) ours() error {
	if b.program == nil {
		return fmt.Errorf("brokers: the %s comes from %s and is not ours to control; unset it, or set Own in its configuration", b.kind, b.envURL)
	}
	return nil
}

// Kill9 kills the broker as a crash would, and returns when it is gone.
func (b *Broker) Kill9() error {
	if err := b.ours(); err != nil {
		return err
	}
	if b.program.Ended() {
		return os.ErrProcessDone
	}
	return b.program.Kill()
}

// Pause freezes the broker (SIGSTOP): its connections stay open and nothing answers. Resume continues it.
func (b *Broker) Pause() error {
	if err := b.ours(); err != nil {
		return err
	}
	return b.program.Pause()
}

// Resume continues a paused broker.
func (b *Broker) Resume() error {
	if err := b.ours(); err != nil {
		return err
	}
	return b.program.Resume()
}

// Terminate asks the broker to end (SIGTERM), kills it if it doesn't within some seconds, and keeps its data for Start.
func (b *Broker) Terminate() error {
	if err := b.ours(); err != nil {
		return err
	}
	if b.program.Ended() {
		return nil
	}
	_ = b.program.Resume() // a frozen one would not hear it
	return b.program.Terminate(b.limits.stop)
}

// Start starts the broker again on its address and with its data, after Kill9 or Terminate. It returns when it is ready.
func (b *Broker) Start(ctx context.Context) error {
	if err := b.ours(); err != nil {
		return err
	}
	if err := b.program.Start(ctx); err != nil {
		return err
	}
	b.Pid = b.program.Pid()
	if err := b.waitReady(ctx); err != nil {
		_ = b.program.Kill()
		return err
	}
	return nil
}

// Restart terminates the broker, if it runs, and starts it again.
func (b *Broker) Restart(ctx context.Context) error {
	if err := b.Terminate(); err != nil {
		return err
	}
	return b.Start(ctx)
}

// StartEmpty is Restart without the data that the broker had.
func (b *Broker) StartEmpty(ctx context.Context) error {
	if err := b.Terminate(); err != nil {
		return err
	}
	if err := b.program.Empty(); err != nil {
		return err
	}
	return b.Start(ctx)
}

// Stop ends the broker and deletes what it left. It does nothing to a broker that was not started here. A second Stop is
// harmless.
func (b *Broker) Stop() {
	if b.program != nil {
		b.program.Remove()
	}
}

func (b *Broker) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.limits.start)
	defer cancel()
	tick := time.NewTicker(b.limits.tick)
	defer tick.Stop()
	for {
		err := b.ready()
		if err == nil {
			return nil
		}
		if b.program.Ended() {
			return fmt.Errorf("brokers: %s ended at once; its log says:\n%s", b.kind, b.program.Log())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("brokers: %s on %s is not ready: %w (%w); its log says:\n%s", b.kind, b.Addr, err, ctx.Err(), b.program.Log())
		case <-tick.C:
		}
	}
}

// FreePort returns a TCP port of 127.0.0.1 that nothing listens on now.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// startOnFreePorts calls start, which chooses ports and starts a broker on them, until it succeeds: between finding a free
// port and the broker's bind another process may take it.
func startOnFreePorts(ctx context.Context, start func() error) error {
	for attempt := 0; ; attempt++ {
		err := start()
		if err == nil || attempt == 3 || ctx.Err() != nil || errors.Is(err, errFinal) {
			return err
		}
	}
}

// errFinal is in errors that other ports would not mend.
var errFinal = errors.New("brokers: this can't be started")

// notInContainer refuses a setting that needs files or addresses of this machine.
func notInContainer(kind, setting string) error {
	return fmt.Errorf("%w: %s with %s in a container; run this test with %s=local", errFinal, kind, setting, EnvFrom)
}

func needsLauncher(kind string) error {
	return fmt.Errorf("%w: %s is container, but this program starts none, only tests do (brokerstest); set it to local or address for %s", errFinal, EnvFrom, kind)
}
