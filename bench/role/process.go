package role

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/streamerson/streamerson/bench/load"
)

// Program is a program that serves roles: this one, or a rival's.
type Program struct {
	// File and Args are its command line, Dir its working folder ("" for this process's), Env what is added to the environment.
	File string
	Args []string
	Dir  string
	Env  []string
	// Stderr gets what its processes log; several may write at once.
	Stderr io.Writer
	// ProfileDir, if set, gets a CPU profile of each process that can write one.
	ProfileDir string
}

// Process is a role process as its parent sees it. Its methods are called by one goroutine at a time.
type Process struct {
	name    string
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan Answer
	addr    string
}

// Start runs a role and waits until it is ready. name tells the process from others in errors and profiles.
func (s *Program) Start(ctx context.Context, name string, spec Spec) (*Process, error) {
	if s.ProfileDir != "" {
		spec.CPUProfile = filepath.Join(s.ProfileDir, name+".pprof")
	}
	p := &Process{name: name, cmd: exec.Command(s.File, s.Args...), answers: make(chan Answer, 1)}
	p.cmd.Stderr, p.cmd.Dir = s.Stderr, s.Dir
	if len(s.Env) > 0 {
		p.cmd.Env = append(os.Environ(), s.Env...)
	}
	// An interrupt of the terminal's group must not end the parts before the parent has read what they did.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.in = in
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("bench: start %s: %w", name, err)
	}
	go p.read(out)
	a, err := p.ask(ctx, spec)
	if err != nil {
		p.kill()
		return nil, fmt.Errorf("bench: start: %w", err)
	}
	p.addr = a.Addr
	return p, nil
}

// Addr is what the process told others to connect to, "" for nothing.
func (p *Process) Addr() string { return p.addr }

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

func (p *Process) read(out io.Reader) {
	defer close(p.answers)
	sc := bufio.NewScanner(out)
	sc.Buffer(nil, maxLine)
	for sc.Scan() {
		var a Answer
		if err := json.Unmarshal(sc.Bytes(), &a); err != nil {
			a.Err = fmt.Sprintf("unexpected output %q", sc.Text())
		}
		p.answers <- a
	}
}

// ask sends one order and waits for its answer.
func (p *Process) ask(ctx context.Context, order any) (Answer, error) {
	b, err := json.Marshal(order)
	if err != nil {
		return Answer{}, err
	}
	if _, err := p.in.Write(append(b, '\n')); err != nil {
		return Answer{}, fmt.Errorf("%s: %w", p.name, err)
	}
	select {
	case a, ok := <-p.answers:
		switch {
		case !ok:
			return a, fmt.Errorf("%s: the process ended; its log is above", p.name)
		case a.Err != "":
			return a, fmt.Errorf("%s: %s", p.name, a.Err)
		}
		return a, nil
	case <-ctx.Done():
		return Answer{}, fmt.Errorf("%s: %w", p.name, context.Cause(ctx))
	}
}

// Run makes a client's calls and blocks until they have ended. After an error that ctx caused the process is of no more use:
// its answer would be taken for that to the next order.
func (p *Process) Run(ctx context.Context, l load.Load) (load.Result, error) {
	a, err := p.ask(ctx, Request{Op: "run", Load: l})
	if err == nil && a.Result == nil {
		err = errors.New(p.name + ": no result")
	}
	if err != nil {
		return load.Result{}, err
	}
	return *a.Result, nil
}

// Usage asks what the process has used so far.
func (p *Process) Usage(ctx context.Context) (Usage, error) { return p.usage(ctx, "usage") }

// Collect is Usage after a garbage collection, so that Heap is what the process really holds.
func (p *Process) Collect(ctx context.Context) (Usage, error) { return p.usage(ctx, "collect") }

func (p *Process) usage(ctx context.Context, op string) (Usage, error) {
	a, err := p.ask(ctx, Request{Op: op})
	if err == nil && a.Usage == nil {
		err = errors.New(p.name + ": no usage")
	}
	if err != nil {
		return Usage{}, err
	}
	return *a.Usage, nil
}

// Stop lets the process end by itself and kills it when it doesn't in StopTimeout, which is an error.
func (p *Process) Stop() error {
	_ = p.in.Close()
	done := make(chan error, 1)
	go func() {
		for range p.answers { // what was not asked for any more
		}
		done <- p.cmd.Wait()
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		return nil
	case <-time.After(StopTimeout + time.Second):
		p.kill()
		return fmt.Errorf("%s: did not end in %v and was killed", p.name, StopTimeout)
	}
}

func (p *Process) kill() {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return
	}
	_ = p.cmd.Wait()
}
