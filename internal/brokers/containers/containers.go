// Package containers runs brokers in containers, for tests. It is the only one that knows testcontainers-go, and no program
// that users get imports it.
//
// The Docker is the one that DOCKER_HOST names, or the usual one. Each port is published at the same number of 127.0.0.1, so
// that a broker's own idea of its address is right for its clients; tests must run where that address is the daemon's.
// scripts/conform-containers.sh sees to all of it.
package containers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/netip"
	"strconv"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"

	"github.com/streamerson/streamerson/internal/brokers"
)

// verbTimeout bounds one request to the daemon, beside the time that a container may take to end.
const verbTimeout = 60 * time.Second

// Launch returns the program of a container that isn't created yet. It is a brokers.Launcher.
func Launch(spec brokers.Spec) brokers.Program { return &box{spec: spec} }

// box is a container; id is empty until it is created.
type box struct {
	spec brokers.Spec
	id   string
	pid  int
}

// do runs f with a client that is closed afterwards: the suite counts goroutines, and a connection that idles has some.
func do(f func(ctx context.Context, cli *client.Client) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), verbTimeout)
	defer cancel()
	cli, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return fmt.Errorf("containers: no Docker: %w; scripts/install-docker.sh installs one", err)
	}
	defer func() { _ = cli.Close() }()
	return f(ctx, cli.Client)
}

func (b *box) Start(ctx context.Context) error {
	err := b.start(ctx)
	if err != nil {
		return fmt.Errorf("containers: start %s: %w", b.spec.Image, err)
	}
	return do(func(ctx context.Context, cli *client.Client) error {
		res, err := cli.ContainerInspect(ctx, b.id, client.ContainerInspectOptions{})
		if err == nil && res.Container.State != nil {
			b.pid = res.Container.State.Pid
		}
		return err
	})
}

func (b *box) start(ctx context.Context) error {
	if b.id != "" {
		return do(func(ctx context.Context, cli *client.Client) error {
			_, err := cli.ContainerStart(ctx, b.id, client.ContainerStartOptions{})
			return err
		})
	}
	// Looked for first, since testcontainers would ask a registry for an image that isn't there.
	if err := do(func(ctx context.Context, cli *client.Client) error {
		_, err := cli.ImageInspect(ctx, b.spec.Image)
		return err
	}); err != nil {
		return fmt.Errorf("%w; scripts/build-images.sh builds the images", err)
	}
	opts := []testcontainers.ContainerCustomizer{
		testcontainers.WithLogger(log.New(io.Discard, "", 0)), // it tells each step
		testcontainers.WithCmd(b.spec.Command...),
	}
	bindings := network.PortMap{}
	for _, p := range b.spec.Ports {
		port, err := network.ParsePort(strconv.Itoa(p) + "/tcp")
		if err != nil {
			return err
		}
		opts = append(opts, testcontainers.WithExposedPorts(port.String()))
		bindings[port] = []network.PortBinding{{HostIP: netip.AddrFrom4([4]byte{127, 0, 0, 1}), HostPort: strconv.Itoa(p)}}
	}
	opts = append(opts, testcontainers.WithHostConfigModifier(func(c *container.HostConfig) { c.PortBindings = bindings }))
	for path, text := range b.spec.Files {
		opts = append(opts, testcontainers.WithFiles(testcontainers.ContainerFile{Reader: bytes.NewReader(text), ContainerFilePath: path, FileMode: 0o644}))
	}
	c, err := testcontainers.Run(ctx, b.spec.Image, opts...)
	if c != nil {
		b.id = c.GetContainerID() // of one that failed to start as well, so that Remove finds it
	}
	return err
}

func (b *box) Pid() int { return b.pid }

func (b *box) Ended() bool {
	if b.id == "" {
		return true
	}
	running := false
	err := do(func(ctx context.Context, cli *client.Client) error {
		res, err := cli.ContainerInspect(ctx, b.id, client.ContainerInspectOptions{})
		running = err == nil && res.Container.State != nil && res.Container.State.Running
		return err
	})
	return err == nil && !running // a daemon that doesn't answer says nothing about the container
}

func (b *box) Kill() error {
	if b.Ended() {
		return nil
	}
	_ = b.Resume() // the daemon refuses to kill what is paused
	if err := do(func(ctx context.Context, cli *client.Client) error {
		_, err := cli.ContainerKill(ctx, b.id, client.ContainerKillOptions{Signal: "KILL"})
		return err
	}); err != nil {
		return err
	}
	for end := time.Now().Add(verbTimeout); !b.Ended(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return errors.New("containers: " + b.spec.Image + " did not end after SIGKILL")
		}
	}
	return nil
}

func (b *box) Terminate(patience time.Duration) error {
	seconds := int(patience / time.Second)
	return do(func(ctx context.Context, cli *client.Client) error {
		_, err := cli.ContainerStop(ctx, b.id, client.ContainerStopOptions{Timeout: &seconds})
		return err
	})
}

func (b *box) Pause() error {
	return do(func(ctx context.Context, cli *client.Client) error {
		_, err := cli.ContainerPause(ctx, b.id, client.ContainerPauseOptions{})
		return err
	})
}

func (b *box) Resume() error {
	return do(func(ctx context.Context, cli *client.Client) error {
		_, err := cli.ContainerUnpause(ctx, b.id, client.ContainerUnpauseOptions{})
		return err
	})
}

// Empty removes the container: the next start makes a new one.
func (b *box) Empty() error {
	id := b.id
	if id == "" {
		return nil
	}
	err := do(func(ctx context.Context, cli *client.Client) error {
		_, err := cli.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		return err
	})
	if err == nil {
		b.id = ""
	}
	return err
}

func (b *box) Remove() { _ = b.Empty() }

func (b *box) Log() string {
	var out bytes.Buffer
	err := do(func(ctx context.Context, cli *client.Client) error {
		logs, err := cli.ContainerLogs(ctx, b.id, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Tail: "25"})
		if err != nil {
			return err
		}
		defer func() { _ = logs.Close() }()
		_, err = stdcopy.StdCopy(&out, &out, logs)
		return err
	})
	if err != nil {
		return err.Error()
	}
	return out.String()
}
