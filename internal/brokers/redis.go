package brokers

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

const (
	// EnvRedisServer is the path of a redis-server (or valkey-server) binary; without it PATH is searched.
	EnvRedisServer = "STREAMERSON_REDIS_SERVER"
	// EnvRedisImage names the image of containers; without it RedisImage is used, which scripts/build-images.sh builds.
	EnvRedisImage = "STREAMERSON_REDIS_IMAGE"
	// RedisImage has redis-server in its PATH and a folder /data.
	RedisImage = "streamerson-test/redis"
)

// redisLimits: a big AOF needs seconds to load.
var redisLimits = startLimits{start: 30 * time.Second, stop: 5 * time.Second, tick: 10 * time.Millisecond}

// RedisConfig says what kind of server to start. The zero value is a server without persistence or password on a free port.
type RedisConfig struct {
	// AOF is the fsync policy of the append-only file: "everysec", "always" or "no"; "" means no append-only file at all.
	AOF string
	// MaxMemory, such as "32mb", with policy noeviction; "" means no limit.
	MaxMemory string
	// Password that clients must give; "" means none.
	Password string
	// TLS, if set, makes the server speak only TLS.
	TLS *RedisTLS
	// Cluster starts the server in cluster mode, with no slots; StartRedisCluster makes whole clusters.
	Cluster bool
	// Port, 0 means a free one.
	Port int
	// Dir holds the server's files, and is kept; "" means a temporary one that Stop removes.
	Dir string
	// ConfigFile, if set, is given to redis-server, which may rewrite it (a sentinel needs one).
	ConfigFile string
	// Args are further command-line arguments of redis-server, such as "--save", "60 1".
	Args []string
	// Own insists on a server of one's own, one that may be killed, even when EnvRedisURL is set.
	Own bool
	// Launcher starts the server when EnvFrom is container; package brokerstest sets it.
	Launcher Launcher
}

// RedisTLS names the server's PEM files.
type RedisTLS struct{ CertFile, KeyFile, CAFile string }

// Redis is one server; its log in Dir is redis.log.
type Redis struct {
	Broker
	cfg RedisConfig
}

// StartRedis starts a redis-server on loopback and returns when it answers PING, or takes the one that EnvRedisURL names,
// as EnvFrom says. A missing binary is an error that says how to install it. ctx bounds only the start.
func StartRedis(ctx context.Context, cfg RedisConfig) (*Redis, error) {
	from, address, err := choose(EnvRedisURL, "redis", cfg.Own)
	if err != nil {
		return nil, err
	}
	r := &Redis{cfg: cfg}
	if from == FromAddress {
		r.Broker = at("Redis", EnvRedisURL, address)
		return r, nil
	}
	bin := ""
	if from == FromLocal {
		if bin, err = redisBinary(); err != nil {
			return nil, err
		}
	}
	err = startOnFreePorts(ctx, func() error {
		port := cfg.Port
		if port == 0 {
			if port, err = FreePort(); err != nil {
				return err
			}
		}
		r.Broker = Broker{kind: "redis-server", envURL: EnvRedisURL, ready: r.ping, limits: redisLimits}
		r.setPort(port)
		if from == FromContainer {
			err = r.container()
		} else {
			err = r.local(bin)
		}
		if err == nil {
			if err = r.Start(ctx); err != nil {
				r.Stop()
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
	return r, nil
}

func (r *Redis) local(bin string) error {
	dir, temp, err := folder(r.cfg.Dir, "streamerson-redis-")
	if err != nil {
		return err
	}
	r.Dir = dir
	args := r.args("127.0.0.1", dir, filepath.Join(dir, "redis.log"))
	r.program = &process{command: func() *exec.Cmd { return exec.Command(bin, args...) }, dir: dir, tempDir: temp, log: "redis.log"}
	return nil
}

func (r *Redis) container() error {
	switch {
	case r.cfg.Launcher == nil:
		return needsLauncher("Redis")
	case r.cfg.TLS != nil || r.cfg.ConfigFile != "":
		return notInContainer("Redis", "files of its own")
	case r.cfg.Cluster:
		return notInContainer("Redis", "cluster mode")
	case r.cfg.Dir != "":
		return notInContainer("Redis", "a folder of this machine")
	}
	image := RedisImage
	if name := os.Getenv(EnvRedisImage); name != "" {
		image = name
	}
	// Protected mode would refuse what comes through the container's published port: it is not from loopback there.
	args := append([]string{"redis-server"}, r.args("0.0.0.0", "/data", "")...)
	r.program = r.cfg.Launcher(Spec{Image: image, Command: append(args, "--protected-mode", "no"), Ports: []int{r.cfg.Port}})
	return nil
}

func redisBinary() (string, error) {
	if bin := os.Getenv(EnvRedisServer); bin != "" {
		if _, err := os.Stat(bin); err != nil {
			return "", fmt.Errorf("brokers: %s: %w", EnvRedisServer, err)
		}
		return bin, nil
	}
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		return "", fmt.Errorf("brokers: redis-server is not in PATH: run `apt-get install redis-server`, or set %s to a binary or %s to a running server", EnvRedisServer, EnvRedisURL)
	}
	return bin, nil
}

func (r *Redis) setPort(port int) {
	r.cfg.Port = port
	r.Addr = loopback(port)
	u := url.URL{Scheme: "redis", Host: r.Addr}
	if r.cfg.TLS != nil {
		u.Scheme = "rediss"
		if r.cfg.TLS.CAFile != "" {
			u.RawQuery = url.Values{"tls_ca": {r.cfg.TLS.CAFile}}.Encode()
		}
	}
	if r.cfg.Password != "" {
		u.User = url.UserPassword("", r.cfg.Password)
	}
	r.URL = u.String()
}

func (r *Redis) args(bind, dir, log string) []string {
	port := strconv.Itoa(r.cfg.Port)
	a := []string{"--bind", bind, "--dir", dir, "--logfile", log, "--save", "", "--daemonize", "no"}
	if t := r.cfg.TLS; t != nil {
		a = append(a, "--port", "0", "--tls-port", port, "--tls-cert-file", t.CertFile, "--tls-key-file", t.KeyFile, "--tls-auth-clients", "no")
		if t.CAFile != "" {
			a = append(a, "--tls-ca-cert-file", t.CAFile)
		}
	} else {
		a = append(a, "--port", port)
	}
	if r.cfg.AOF != "" {
		a = append(a, "--appendonly", "yes", "--appendfsync", r.cfg.AOF)
	}
	if r.cfg.MaxMemory != "" {
		a = append(a, "--maxmemory", r.cfg.MaxMemory, "--maxmemory-policy", "noeviction")
	}
	if r.cfg.Password != "" {
		a = append(a, "--requirepass", r.cfg.Password)
	}
	if r.cfg.Cluster {
		a = append(a, "--cluster-enabled", "yes", "--cluster-config-file", "nodes-"+port+".conf", "--cluster-node-timeout", "2000")
	}
	if r.cfg.ConfigFile != "" {
		a = append([]string{r.cfg.ConfigFile}, a...)
	}
	return append(a, r.cfg.Args...)
}

// ping speaks just enough of the protocol, so that the package needs no client library.
func (r *Redis) ping() error {
	d := &net.Dialer{Timeout: time.Second}
	var c net.Conn
	var err error
	if r.cfg.TLS != nil {
		// Only the server's readiness is asked for, not its identity.
		c, err = tls.DialWithDialer(d, "tcp", r.Addr, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // see above
	} else {
		c, err = d.Dial("tcp", r.Addr)
	}
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	req, want := "PING\r\n", "+PONG\r\n"
	if r.cfg.Password != "" {
		req = fmt.Sprintf("*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\nPING\r\n", len(r.cfg.Password), r.cfg.Password)
		want = "+OK\r\n+PONG\r\n"
	}
	if _, err := c.Write([]byte(req)); err != nil {
		return err
	}
	got := make([]byte, 0, 64)
	buf := make([]byte, 64)
	for len(got) < len(want) {
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		if got = append(got, buf[:n]...); string(got[:min(len(got), len(want))]) != want[:min(len(got), len(want))] {
			return fmt.Errorf("brokers: PING answered %q", got)
		}
	}
	return nil
}
