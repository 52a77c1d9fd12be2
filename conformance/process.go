package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// process is a member's own process: this program in one of its roles.
type process struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	stderr stderr
}

// stderr keeps the first 64 KiB of what a child wrote to its standard error, for a scenario that fails.
type stderr struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *stderr) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.b.Len() < 64<<10 {
		o.b.Write(p)
	}
	return len(p), nil
}

func (o *stderr) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// launch starts a child without waiting for it; it is killed when the scenario ends.
func (s *system) launch(role string, change func(*childConfig)) *member {
	s.Helper()
	if !serves {
		s.Fatalf("Harness.URL is set, but this program doesn't call conformance.ServeChild first of all in its main or TestMain")
	}
	cfg := s.childConfig(role, change)
	text, err := json.Marshal(cfg)
	if err != nil {
		s.Fatalf("child: %v", err)
	}
	exe, err := os.Executable()
	if err != nil {
		s.Fatalf("child: %v", err)
	}
	m := s.newMember(cfg.Name)
	m.slots = cfg.Worker.Slots
	p := &process{cmd: exec.Command(exe)} //nolint:gosec // this program itself
	p.cmd.Env = append(os.Environ(), envChild+"="+string(text))
	p.cmd.Stderr = &p.stderr
	// A Ctrl-C at the terminal is for the suite, which then ends its children.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		s.Fatalf("child: %v", err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		s.Fatalf("child: %v", err)
	}
	if err := p.cmd.Start(); err != nil {
		s.Fatalf("child: %v", err)
	}
	m.proc = p
	go func() {
		hear(out, m.hear)
		_ = p.cmd.Wait()
		close(m.ended)
	}()
	s.atEnd(func() {
		m.kill()
		if s.Failed() {
			asked, answers := m.answered()
			s.Logf("%s: counts %s, %d calls made, %d answered; stderr:\n%s", cfg.Name, m.seen.String(), asked, len(answers), p.stderr.String())
		}
	})
	return m
}

// start starts a child and waits until it is ready.
func (s *system) start(role string, change func(*childConfig)) *member {
	s.Helper()
	m := s.launch(role, change)
	m.awaitReady(6 * patience)
	return m
}

// kill is kill -9; it returns when the process is gone and all that it said is heard.
func (m *member) kill() {
	_ = m.proc.cmd.Process.Kill()
	<-m.ended
	_ = m.proc.stdin.Close()
}

// terminate is SIGTERM; it returns the exit status, −1 after a signal.
func (m *member) terminate(within time.Duration) int {
	m.s.Helper()
	if err := m.proc.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		m.s.Fatalf("SIGTERM to %s: %v", m.name, err)
	}
	return m.status(within)
}

// status waits for the process's end.
func (m *member) status(within time.Duration) int {
	m.s.Helper()
	select {
	case <-m.ended:
	case <-time.After(m.s.d(within)):
		m.s.Fatalf("%s still runs after %v", m.name, m.s.d(within))
	}
	return m.proc.cmd.ProcessState.ExitCode()
}

// halt is SIGSTOP, and returns when the process is stopped.
func (m *member) halt() {
	m.s.Helper()
	err := m.proc.cmd.Process.Signal(syscall.SIGSTOP)
	if err == nil {
		err = stopped(m.proc.cmd.Process.Pid)
	}
	if err != nil {
		m.s.Fatalf("SIGSTOP to %s: %v", m.name, err)
	}
}

// stopped waits until the kernel says that the process is stopped, where it can be asked.
func stopped(pid int) error {
	for range 1000 {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		// The state follows the name in parentheses.
		if errors.Is(err, os.ErrNotExist) || bytes.Contains(b, []byte(") T ")) {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New("it doesn't stop")
}

// resume continues a process that was halted.
func (m *member) resume() {
	m.s.Helper()
	if err := m.proc.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		m.s.Fatalf("SIGCONT to %s: %v", m.name, err)
	}
}
