package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamerson/streamerson/config"
	"github.com/streamerson/streamerson/internal/brokers"
)

// childStop is how long a child process may take to drain before it is killed.
const childStop = 10 * time.Second

// demoBroker is a broker that was started for the demo.
type demoBroker struct {
	url, about string
	stop       func()
}

// startRedisDemo starts a Redis of its own, and a gateway and two workers as processes of their own: this program again.
func startRedisDemo(ctx context.Context, cmd *cobra.Command, cfg *config.Config) (*demo, error) {
	redis, err := brokers.StartRedis(ctx, brokers.RedisConfig{AOF: "everysec"})
	if err != nil {
		return nil, err
	}
	about := fmt.Sprintf("Redis at %s (process %d)", redis.Addr, redis.Pid)
	return startProcesses(ctx, cfg, cmd.ErrOrStderr(), demoBroker{redis.URL, about, redis.Stop})
}

// startNATSDemo has a nats-server inside this process, so that nothing needs to be installed.
func startNATSDemo(ctx context.Context, cmd *cobra.Command, cfg *config.Config) (*demo, error) {
	b, err := startEmbedded(ctx, cmd, "nats")
	if err != nil {
		return nil, err
	}
	return startProcesses(ctx, cfg, cmd.ErrOrStderr(), b)
}

func startNATSCoreDemo(ctx context.Context, cmd *cobra.Command, cfg *config.Config) (*demo, error) {
	b, err := startEmbedded(ctx, cmd, "nats+core")
	if err != nil {
		return nil, err
	}
	return startProcesses(ctx, cfg, cmd.ErrOrStderr(), b)
}

// startKafkaDemo starts a Kafka of its own; the first time on a machine its jars are fetched.
func startKafkaDemo(ctx context.Context, cmd *cobra.Command, cfg *config.Config) (*demo, error) {
	kafka, err := brokers.StartKafka(ctx, brokers.KafkaConfig{})
	if err != nil {
		return nil, err
	}
	about := fmt.Sprintf("Kafka at %s (process %d)", kafka.Addr, kafka.Pid)
	return startProcesses(ctx, cfg, cmd.ErrOrStderr(), demoBroker{kafka.URL, about, kafka.Stop})
}

// startProcesses starts a gateway and two workers on a broker.
func startProcesses(ctx context.Context, cfg *config.Config, logTo io.Writer, broker demoBroker) (d *demo, err error) {
	var children []*child
	d = &demo{url: "http://" + cfg.Gateway.Listen}
	stop := func() {
		// The gateway was started last and drains first.
		for i := len(children) - 1; i >= 0; i-- {
			children[i].stop()
		}
		broker.stop()
	}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	dir, err := os.MkdirTemp("", "streamerson-demo-")
	if err != nil {
		return nil, err
	}
	stopAll := stop
	stop = func() { stopAll(); _ = os.RemoveAll(dir) }
	d.stop = stop
	file := filepath.Join(dir, "streamerson.yaml")
	text, err := cfg.YAML()
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		return nil, err
	}

	failed := make(chan error, demoWorkers+1)
	d.failed = failed
	var ready []func() error
	start := func(args ...string) error {
		c, err := startChild(file, broker.url, logTo, failed, args...)
		if err == nil {
			children = append(children, c)
			ready = append(ready, c.ready)
		}
		return err
	}
	for range demoWorkers {
		if err := start("worker", "--demo-posts"); err != nil {
			return nil, err
		}
	}
	if err := start("gateway"); err != nil {
		return nil, err
	}
	if err := waitReady(ctx, ready, failed); err != nil {
		return nil, err
	}
	d.about = fmt.Sprintf("%s, workers (processes %d and %d) and a gateway (process %d).", broker.about, children[0].pid(), children[1].pid(), children[2].pid())
	return d, nil
}

// child is this program again, in another role.
type child struct {
	name   string
	cmd    *exec.Cmd
	stdin  io.Closer
	admin  string
	exited chan struct{}
}

// startChild starts a role with the given configuration file and broker. The broker's URL goes by the environment: an
// argument, and a password in it, would be seen by every user of the machine.
func startChild(file, brokerURL string, logTo io.Writer, failed chan<- error, args ...string) (*child, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	port, err := brokers.FreePort()
	if err != nil {
		return nil, err
	}
	c := &child{name: args[0], admin: fmt.Sprintf("127.0.0.1:%d", port), exited: make(chan struct{})}
	args = append(args, "--config", file, "--admin", c.admin, "--until-eof")
	c.cmd = exec.Command(exe, args...) //nolint:gosec // this program itself
	c.cmd.Env = append(os.Environ(), "STREAMERSON_TRANSPORT_URL="+brokerURL)
	c.cmd.Stdout, c.cmd.Stderr = logTo, logTo
	// A process group of its own: Ctrl-C reaches this process only, which then stops the others in order.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = c.cmd.Wait() // the state says the same, with the signal's name
		close(c.exited)
		failed <- fmt.Errorf("the %s process has ended: %s", c.name, c.cmd.ProcessState)
	}()
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// ready asks the child's admin port.
func (c *child) ready() error {
	client := http.Client{Timeout: time.Second}
	res, err := client.Get("http://" + c.admin + "/readyz")
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return errors.New(c.name + " is not ready")
	}
	return nil
}

// stop drains the child and waits for its end.
func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.exited:
	case <-time.After(childStop):
		_ = c.cmd.Process.Kill()
		<-c.exited
	}
	_ = c.stdin.Close()
}

// demoPicture is a real PNG to work on.
func demoPicture() ([]byte, error) {
	const side = 256
	img := image.NewRGBA(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			img.Set(x, y, color.RGBA{R: uint8(x), G: uint8(y), B: uint8(x * y >> 8), A: 255}) // 0–255 by the picture's size
		}
	}
	var out bytes.Buffer
	err := png.Encode(&out, img)
	return out.Bytes(), err
}
