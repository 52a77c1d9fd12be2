package brokers

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// EnvNATSServer is the path of a nats-server binary; without it StartNATSProcess runs the one that is compiled into this
	// program.
	EnvNATSServer = "STREAMERSON_NATS_SERVER"
	// EnvNATSImage names the image of containers; without it NATSImage is used, which scripts/build-images.sh builds.
	EnvNATSImage = "STREAMERSON_NATS_IMAGE"
	// NATSImage has nats-server in its PATH and a folder /data.
	NATSImage = "streamerson-test/nats"
)

// natsLimits: recovering big streams needs seconds.
var natsLimits = startLimits{start: natsStartTimeout, stop: 10 * time.Second, tick: 10 * time.Millisecond}

// envNATSChild carries a child's configuration to ServeNATSChild.
const envNATSChild = "STREAMERSON_NATS_CHILD"

// ServeNATSChild runs a nats-server and never returns, if this process was started for that by StartNATSProcess; otherwise
// it does nothing. A test binary calls it first in TestMain. The server ends with the process that started it.
func ServeNATSChild() {
	raw := os.Getenv(envNATSChild)
	if raw == "" {
		return
	}
	var cfg NATSConfig
	if err := json.Unmarshal([]byte(raw), &cfg); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	n, err := StartNATS(context.Background(), cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // ends with the parent, however that ends, or when it closes its side
	n.Stop()
	os.Exit(0)
}

// NATSProcess is a nats-server outside of this process, which can be killed and stopped; its log in Dir is nats.log.
type NATSProcess struct {
	Broker
	cfg NATSConfig
}

// StartNATSProcess starts a nats-server on loopback, or takes the one that EnvNATSURL names, as EnvFrom says. Without
// EnvNATSServer it is this program's binary, started again; it must call ServeNATSChild. Configure isn't possible. It returns
// when the server takes connections. ctx bounds only the start.
func StartNATSProcess(ctx context.Context, cfg NATSConfig) (*NATSProcess, error) {
	scheme := "nats"
	if cfg.NoJetStream {
		scheme = "nats+core"
	}
	from, address, err := choose(EnvNATSURL, scheme, cfg.Own)
	if err != nil {
		return nil, err
	}
	n := &NATSProcess{cfg: cfg}
	if from == FromAddress {
		n.Broker = at("NATS", EnvNATSURL, address)
		return n, nil
	}
	err = startOnFreePorts(ctx, func() error {
		if cfg.Port == 0 {
			if n.cfg.Port, err = FreePort(); err != nil {
				return err
			}
		}
		n.Broker = Broker{kind: "nats-server", envURL: EnvNATSURL, limits: natsLimits}
		n.Addr, n.URL = natsAddress(n.cfg)
		n.ready = func() error { return natsReady(n.Addr) }
		if from == FromContainer {
			err = n.container()
		} else {
			err = n.local()
		}
		if err == nil {
			if err = n.Start(ctx); err != nil {
				n.Stop()
			}
		}
		if err != nil && cfg.Port != 0 {
			err = fmt.Errorf("%w: on port %d, which its configuration demands: %w", errFinal, cfg.Port, err)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return n, nil
}

func (n *NATSProcess) local() error {
	dir, temp, err := folder(n.cfg.Dir, "streamerson-nats-")
	if err != nil {
		return err
	}
	n.Dir = dir
	p := &process{dir: dir, tempDir: temp, log: "nats.log"}
	n.program = p
	if bin := os.Getenv(EnvNATSServer); bin != "" {
		conf := filepath.Join(dir, "nats.conf")
		p.keep = []string{"nats.conf"}
		p.command = func() *exec.Cmd { return exec.Command(bin, "-c", conf) }
		return os.WriteFile(conf, []byte(natsConfig(n.cfg, "127.0.0.1", dir)), 0o600)
	}
	child := n.cfg
	child.Dir, child.Launcher = dir, nil
	text, err := json.Marshal(child)
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	p.stdin = true
	p.command = func() *exec.Cmd {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), envNATSChild+"="+string(text))
		return cmd
	}
	return nil
}

func (n *NATSProcess) container() error {
	switch {
	case n.cfg.Launcher == nil:
		return needsLauncher("NATS")
	case n.cfg.Dir != "":
		return notInContainer("NATS", "a folder of this machine")
	}
	image := NATSImage
	if name := os.Getenv(EnvNATSImage); name != "" {
		image = name
	}
	n.program = n.cfg.Launcher(Spec{
		Image: image, Command: []string{"nats-server", "-c", "/etc/nats-test.conf"}, Ports: []int{n.cfg.Port},
		Files: map[string][]byte{"/etc/nats-test.conf": []byte(natsConfig(n.cfg, "0.0.0.0", "/data"))},
	})
	return nil
}

// natsConfig is the configuration file of a nats-server program.
func natsConfig(cfg NATSConfig, host, dir string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "listen: %q\n", fmt.Sprintf("%s:%d", host, cfg.Port))
	if cfg.MaxPayload != 0 {
		fmt.Fprintf(&b, "max_payload: %d\n", cfg.MaxPayload)
	}
	if cfg.User != "" {
		fmt.Fprintf(&b, "authorization { user: %q, password: %q }\n", cfg.User, cfg.Password)
	}
	if !cfg.NoJetStream {
		fmt.Fprintf(&b, "jetstream { store_dir: %q", dir)
		if cfg.MaxStore != 0 {
			fmt.Fprintf(&b, ", max_file_store: %d", cfg.MaxStore)
		}
		b.WriteString(" }\n")
	}
	return b.String()
}

// natsReady looks whether a server introduces itself at addr; it does so once it is ready.
func natsReady(addr string) error {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "INFO ") {
		err = fmt.Errorf("brokers: %s says %q; that is no nats-server", addr, line)
	}
	return err
}
