package brokers

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// process is a broker that runs as a process of this machine.
type process struct {
	command func() *exec.Cmd
	// prepare, if set, comes before each start.
	prepare func(context.Context) error
	// stdin: the program ends in an orderly way when its standard input does, instead of by SIGTERM.
	stdin bool
	// dir holds the program's files, and keep names those of them that are not data; log is its log's name.
	dir, log string
	keep     []string
	// tempDir: dir is removed in the end.
	tempDir bool

	cmd    *exec.Cmd
	input  io.Closer
	exited chan struct{}
}

func (p *process) Start(ctx context.Context) error {
	if p.prepare != nil {
		if err := p.prepare(ctx); err != nil {
			return err
		}
	}
	cmd := p.command()
	if p.stdin {
		in, err := cmd.StdinPipe()
		if err != nil {
			return err
		}
		p.input = in
	}
	if cmd.Stdout == nil && cmd.Stderr == nil && p.log != "" {
		log, err := os.OpenFile(filepath.Join(p.dir, p.log), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer func() { _ = log.Close() }()
		cmd.Stdout, cmd.Stderr = log, log
	}
	// Its own process group: a Ctrl-C at the terminal is for the program, which then stops the broker last.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("brokers: start %s: %w", cmd.Path, err)
	}
	exited := make(chan struct{})
	p.cmd, p.exited = cmd, exited
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	return nil
}

func (p *process) Pid() int { return p.cmd.Process.Pid }

func (p *process) Ended() bool {
	if p.cmd == nil {
		return true
	}
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

func (p *process) signal(s syscall.Signal) error {
	if p.Ended() {
		return os.ErrProcessDone
	}
	return p.cmd.Process.Signal(s)
}

func (p *process) Kill() error {
	if p.Ended() {
		return nil
	}
	err := p.cmd.Process.Kill()
	<-p.exited
	return err
}

func (p *process) Terminate(patience time.Duration) error {
	if p.stdin {
		_ = p.input.Close()
	} else if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-p.exited:
		return nil
	case <-late.C:
		return p.Kill()
	}
}

func (p *process) Pause() error  { return p.signal(syscall.SIGSTOP) }
func (p *process) Resume() error { return p.signal(syscall.SIGCONT) }

func (p *process) Empty() error {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == p.log || slices.Contains(p.keep, e.Name()) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(p.dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (p *process) Log() string {
	b, err := os.ReadFile(filepath.Join(p.dir, p.log))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-1500):])
}

func (p *process) Remove() {
	_ = p.Kill() // nothing of it is needed any more
	if p.input != nil {
		_ = p.input.Close()
	}
	if p.tempDir {
		_ = os.RemoveAll(p.dir)
	}
}

// folder returns dir, or makes a temporary folder.
func folder(dir, pattern string) (path string, temp bool, err error) {
	if dir != "" {
		return dir, false, nil
	}
	path, err = os.MkdirTemp("", pattern)
	return path, true, err
}
