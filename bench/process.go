package bench

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
)

// stopTimeout bounds how long a role process may take to end before it is killed.
const stopTimeout = 10 * time.Second

// self starts role processes: Program is this program's file, Args the hidden command that calls RunRole.
type self struct {
	Program string
	Args    []string
	// Stderr gets what role processes log.
	Stderr io.Writer
	// ProfileDir, if set, gets a CPU profile of each process.
	ProfileDir string
}

// roleArgs is the hidden command of Command.
var roleArgs = []string{"bench", "role"}

// process is a role process as its parent sees it. Its methods are called by one goroutine at a time.
type process struct {
	name    string
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan roleAnswer
	addr    string
}

// start runs a role and waits until it is ready. name tells the process from others in errors and profiles.
func (s *self) start(ctx context.Context, name string, spec roleSpec) (*process, error) {
	if s.ProfileDir != "" {
		spec.CPUProfile = filepath.Join(s.ProfileDir, name+".pprof")
	}
	p := &process{name: name, cmd: exec.Command(s.Program, s.Args...), answers: make(chan roleAnswer, 1)}
	p.cmd.Stderr = s.Stderr
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

func (p *process) read(out io.Reader) {
	defer close(p.answers)
	sc := bufio.NewScanner(out)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var a roleAnswer
		if err := json.Unmarshal(sc.Bytes(), &a); err != nil {
			a.Err = fmt.Sprintf("unexpected output %q", sc.Text())
		}
		p.answers <- a
	}
}

// ask sends one order and waits for its answer.
func (p *process) ask(ctx context.Context, order any) (roleAnswer, error) {
	b, err := json.Marshal(order)
	if err != nil {
		return roleAnswer{}, err
	}
	if _, err := p.in.Write(append(b, '\n')); err != nil {
		return roleAnswer{}, fmt.Errorf("%s: %w", p.name, err)
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
		return roleAnswer{}, fmt.Errorf("%s: %w", p.name, context.Cause(ctx))
	}
}

func (p *process) run(ctx context.Context, l Load) (LoadResult, error) {
	a, err := p.ask(ctx, roleRequest{Op: "run", Load: l})
	if err == nil && a.Result == nil {
		err = errors.New(p.name + ": no result")
	}
	if err != nil {
		return LoadResult{}, err
	}
	return *a.Result, nil
}

func (p *process) usage(ctx context.Context) (Usage, error) {
	a, err := p.ask(ctx, roleRequest{Op: "usage"})
	if err == nil && a.Usage == nil {
		err = errors.New(p.name + ": no usage")
	}
	if err != nil {
		return Usage{}, err
	}
	return *a.Usage, nil
}

// stop lets the process end by itself and kills it when it doesn't.
func (p *process) stop() error {
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
	case <-time.After(stopTimeout + time.Second):
		p.kill()
		return fmt.Errorf("%s: did not end in %v and was killed", p.name, stopTimeout)
	}
}

func (p *process) kill() {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return
	}
	_ = p.cmd.Wait()
}

// processCPU is this process's user and system time so far.
func processCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
