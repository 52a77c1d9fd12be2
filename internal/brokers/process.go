package brokers

import (
	"fmt"
	"os/exec"
	"syscall"
)

// process is a broker that runs as a program of its own; exited is closed at its end.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

// startProcess starts a broker's program and watches for its end.
func startProcess(cmd *exec.Cmd) (*process, error) {
	// Its own process group: a Ctrl-C at the terminal is for the program, which then stops the broker last.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("brokers: start %s: %w", cmd.Path, err)
	}
	p := &process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}
