package role

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"time"

	psprocess "github.com/shirou/gopsutil/v4/process"
)

// Server is a program that serves and knows nothing of roles, such as nginx. Its CPU time is read from the system, its
// children's included.
type Server struct {
	// File and Args are its command line, which must stay in the foreground; Dir its working folder.
	File string
	Args []string
	Dir  string
	// Addr is what others connect to, as an URL or "host:port"; the server is ready when it takes a connection.
	Addr string
	// Close, if set, is called when the server has ended.
	Close func() error
	// Stderr gets its output and log.
	Stderr io.Writer
}

// ServerProcess is a Server that runs. Its methods are called by one goroutine at a time.
type ServerProcess struct {
	name   string
	server Server
	cmd    *exec.Cmd
	ended  chan error
}

// Start runs the server and waits until it takes connections.
func (s Server) Start(ctx context.Context, name string) (*ServerProcess, error) {
	p := &ServerProcess{name: name, server: s, cmd: exec.Command(s.File, s.Args...), ended: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = s.Stderr, s.Stderr, s.Dir
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("bench: start %s: %w", name, err), p.closed())
	}
	go func() { p.ended <- p.cmd.Wait() }()
	_, host, ok := strings.Cut(s.Addr, "://")
	if !ok {
		host = s.Addr
	}
	for {
		conn, err := net.DialTimeout("tcp", host, time.Second)
		if err == nil {
			return p, conn.Close()
		}
		select {
		case early := <-p.ended:
			return nil, errors.Join(fmt.Errorf("bench: %s ended before it served, its log is above: %w", name, early), p.closed())
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("bench: %s: not ready: %w", name, err), p.Stop())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Addr is what others connect to.
func (p *ServerProcess) Addr() string { return p.server.Addr }

// PID is the id of the process that was started.
func (p *ServerProcess) PID() int { return p.cmd.Process.Pid }

// Usage is the CPU time of the process and all that it started and still runs.
func (p *ServerProcess) Usage(ctx context.Context) (Usage, error) {
	cpu, err := TreeCPU(ctx, p.PID())
	if err != nil {
		return Usage{}, fmt.Errorf("%s: %w", p.name, err)
	}
	return Usage{CPU: cpu}, nil
}

// Collect is Usage: the heap of another's program is not known.
func (p *ServerProcess) Collect(ctx context.Context) (Usage, error) { return p.Usage(ctx) }

// Stop asks the server to end and kills it when it doesn't in StopTimeout.
func (p *ServerProcess) Stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended: // how a server ends on a signal is its own affair
		return p.closed()
	case <-time.After(StopTimeout):
		_ = syscall.Kill(-p.PID(), syscall.SIGKILL) // its own group, with its children
		return errors.Join(fmt.Errorf("%s: did not end in %v and was killed", p.name, StopTimeout), <-p.ended, p.closed())
	}
}

func (p *ServerProcess) closed() error {
	if p.server.Close == nil {
		return nil
	}
	return p.server.Close()
}

// TreeCPU is the user and system time of a process and its living children, theirs included, in the system's resolution
// (10 ms on Linux).
func TreeCPU(ctx context.Context, pid int) (time.Duration, error) {
	p, err := psprocess.NewProcessWithContext(ctx, int32(pid))
	if err != nil {
		return 0, err
	}
	t, err := p.TimesWithContext(ctx)
	if err != nil {
		return 0, err
	}
	sum := time.Duration((t.User + t.System) * float64(time.Second))
	children, err := p.ChildrenWithContext(ctx)
	if err != nil && !errors.Is(err, psprocess.ErrorNoChildren) {
		return 0, err
	}
	for _, c := range children {
		d, err := TreeCPU(ctx, int(c.Pid))
		if err == nil { // one that ended meanwhile is counted no more
			sum += d
		}
	}
	return sum, nil
}
