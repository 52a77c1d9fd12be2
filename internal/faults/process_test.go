package faults

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a child: the test binary in one of its roles.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	ready  chan struct{}
	exited chan struct{}
	seen   counts
	stdin  io.Closer
	stderr tail
}

// tail keeps what a child wrote to its standard error, for a test that fails.
type tail struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *tail) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.b.Len() < 64<<10 {
		o.b.Write(p)
	}
	return len(p), nil
}

// launch starts a child without waiting for it.
func launch(t testing.TB, role string, cfg childConfig) *process {
	t.Helper()
	text, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(os.Args[0]), ready: make(chan struct{}), exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), envRole+"="+role, envConfig+"="+string(text))
	p.cmd.Stderr = &p.stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.listen(out)
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			p.stderr.mu.Lock()
			defer p.stderr.mu.Unlock()
			t.Logf("%s %s: events %v; stderr:\n%s", role, cfg.Name, p.seen.n, p.stderr.b.String())
		}
	})
	return p
}

// start starts a child and waits until it is ready.
func start(t testing.TB, role string, cfg childConfig) *process {
	t.Helper()
	p := launch(t, role, cfg)
	p.waitReady()
	return p
}

func (p *process) waitReady() {
	p.t.Helper()
	select {
	case <-p.ready:
	case <-p.exited:
		p.t.Fatalf("the child ended at once: %s", p.stderr.b.String())
	case <-time.After(20 * time.Second):
		p.t.Fatal("the child is not ready after 20 s")
	}
}

func (p *process) listen(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "ready":
			close(p.ready)
		case "event":
			p.seen.add(rest)
		}
	}
	_ = p.cmd.Wait()
	close(p.exited)
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("signal %v: %v", s, err)
	}
}

// kill is kill -9, and returns when the process is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
	_ = p.stdin.Close()
}

// terminate is SIGTERM; it returns the exit status.
func (p *process) terminate(within time.Duration) int {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	return p.status(within)
}

// status waits for the process's end.
func (p *process) status(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(within):
		p.t.Fatalf("the child still runs after %v", within)
	}
	return p.cmd.ProcessState.ExitCode()
}

// eventually polls until ok, and fails the test when that takes too long.
func eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain for %s", within, what)
		}
	}
}
