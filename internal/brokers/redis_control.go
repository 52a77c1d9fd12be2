package brokers

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

func (r *Redis) current() *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proc
}

func (r *Redis) signal(s syscall.Signal) error {
	if r.external {
		return errExternal
	}
	p := r.current()
	select {
	case <-p.exited:
		return os.ErrProcessDone
	default:
		return p.cmd.Process.Signal(s)
	}
}

// Kill9 kills the server as a crash would, and returns when its process is gone.
func (r *Redis) Kill9() error {
	if err := r.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-r.current().exited
	return nil
}

// Pause stops the server with SIGSTOP: its connections stay open and nothing answers. Resume continues it.
func (r *Redis) Pause() error { return r.signal(syscall.SIGSTOP) }

// Resume continues a paused server.
func (r *Redis) Resume() error { return r.signal(syscall.SIGCONT) }

// Terminate asks the server to end (SIGTERM), kills it if it doesn't within 5 s, and keeps its files for Restart.
func (r *Redis) Terminate() error {
	if r.external {
		return errExternal
	}
	p := r.current()
	_ = r.signal(syscall.SIGCONT)
	_ = r.signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(redisStopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
	return nil
}

// Restart starts the server again on the same port and directory, after Kill9 or Terminate (a server that still runs is
// terminated first). It returns when PING is answered.
func (r *Redis) Restart(ctx context.Context) error {
	if r.external {
		return errExternal
	}
	if err := r.Terminate(); err != nil {
		return err
	}
	return r.spawn(ctx)
}

// StartEmpty is Restart without the data that the server had.
func (r *Redis) StartEmpty(ctx context.Context) error {
	if err := r.Terminate(); err != nil {
		return err
	}
	for _, pattern := range []string{"appendonlydir", "*.aof", "*.rdb"} {
		files, err := filepath.Glob(filepath.Join(r.Dir, pattern))
		if err != nil {
			return err
		}
		for _, f := range files {
			if err := os.RemoveAll(f); err != nil {
				return err
			}
		}
	}
	return r.spawn(ctx)
}

// Stop ends the server and removes its directory, if that was temporary. It does nothing to a server that was not started
// here. A second Stop is harmless.
func (r *Redis) Stop() {
	if r.external {
		return
	}
	_ = r.signal(syscall.SIGKILL) // nothing of it is needed any more
	<-r.current().exited
	r.removeDir()
}

func (r *Redis) removeDir() {
	if r.tempDir {
		_ = os.RemoveAll(r.Dir)
	}
}
