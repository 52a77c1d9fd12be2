package brokers

import (
	"context"
	"os"
	"syscall"
	"time"
)

func (k *Kafka) current() *process {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.proc
}

func (k *Kafka) signal(s syscall.Signal) error {
	if k.external {
		return errExternalKafka
	}
	p := k.current()
	select {
	case <-p.exited:
		return os.ErrProcessDone
	default:
		return p.cmd.Process.Signal(s)
	}
}

// Kill9 kills the broker as a crash would, and returns when its process is gone.
func (k *Kafka) Kill9() error {
	if err := k.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-k.current().exited
	return nil
}

// Pause stops the broker with SIGSTOP: its connections stay open and nothing answers. Resume continues it.
func (k *Kafka) Pause() error { return k.signal(syscall.SIGSTOP) }

// Resume continues a paused broker.
func (k *Kafka) Resume() error { return k.signal(syscall.SIGCONT) }

// Terminate asks the broker to end (SIGTERM), kills it if it doesn't within 15 s, and keeps its files for Restart.
func (k *Kafka) Terminate() error {
	if k.external {
		return errExternalKafka
	}
	p := k.current()
	_ = k.signal(syscall.SIGCONT)
	_ = k.signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(kafkaStopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
	return nil
}

// Restart starts the broker again on the same port and directory, after Kill9 or Terminate (a broker that still runs is
// terminated first). It returns when Metadata is answered.
func (k *Kafka) Restart(ctx context.Context) error {
	if k.external {
		return errExternalKafka
	}
	if err := k.Terminate(); err != nil {
		return err
	}
	return k.spawn(ctx)
}

// Stop ends the broker and removes its directory. It does nothing to a broker that was not started
// here. A second Stop is harmless.
func (k *Kafka) Stop() {
	if k.external {
		return
	}
	_ = k.signal(syscall.SIGKILL) // nothing of it is needed any more
	<-k.current().exited
	_ = os.RemoveAll(k.Dir)
}
