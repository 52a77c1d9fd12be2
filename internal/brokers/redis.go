package brokers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// Environment variables that StartRedis looks at.
const (
	// EnvRedisURL names a broker that runs already: it is used instead of starting one, unless RedisConfig.Own.
	EnvRedisURL = "STREAMERSON_REDIS_URL"
	// EnvRedisServer is the path of a redis-server (or valkey-server) binary; without it PATH is searched.
	EnvRedisServer = "STREAMERSON_REDIS_SERVER"
)

// Limits of starting and stopping.
const (
	// redisStartTimeout bounds one start until PING answers: a big AOF needs seconds to load.
	redisStartTimeout = 30 * time.Second
	// redisStopTimeout is how long Stop waits after SIGTERM before SIGKILL.
	redisStopTimeout = 5 * time.Second
)

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
}

// RedisTLS names the server's PEM files.
type RedisTLS struct{ CertFile, KeyFile, CAFile string }

// Redis is one server. Its methods may be called concurrently with its users, but not with each other.
type Redis struct {
	// URL is what to give to transport.Open; Addr its host and port.
	URL, Addr string
	// Pid of the server, 0 when it was not started here.
	Pid int
	// Dir has the server's files; its log is redis.log.
	Dir string

	cfg      RedisConfig
	bin      string
	tempDir  bool
	external bool

	mu   sync.Mutex
	proc *process
}

var errExternal = errors.New("brokers: the Redis comes from " + EnvRedisURL + " and is not ours to control; unset it, or set RedisConfig.Own")

// StartRedis starts a redis-server on loopback and returns when it answers PING, or takes the one that EnvRedisURL names.
// A missing binary is an error that says how to install it. ctx bounds only the start.
func StartRedis(ctx context.Context, cfg RedisConfig) (*Redis, error) {
	if raw := os.Getenv(EnvRedisURL); raw != "" && !cfg.Own {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("brokers: %s is not a URL such as redis://127.0.0.1:6379", EnvRedisURL)
		}
		return &Redis{URL: raw, Addr: u.Host, cfg: cfg, external: true}, nil
	}
	bin, err := redisBinary()
	if err != nil {
		return nil, err
	}
	r := &Redis{cfg: cfg, bin: bin, Dir: cfg.Dir}
	if r.Dir == "" {
		if r.Dir, err = os.MkdirTemp("", "streamerson-redis-"); err != nil {
			return nil, err
		}
		r.tempDir = true
	}
	// Between finding a free port and the server's bind another process may take it: then try another one.
	for attempt := 0; ; attempt++ {
		port := cfg.Port
		if port == 0 {
			if port, err = FreePort(); err != nil {
				break
			}
		}
		r.setPort(port)
		if err = r.spawn(ctx); err == nil {
			return r, nil
		}
		if cfg.Port != 0 || attempt == 4 || ctx.Err() != nil {
			break
		}
	}
	r.removeDir()
	return nil, err
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

// FreePort returns a TCP port of 127.0.0.1 that nothing listens on now.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (r *Redis) setPort(port int) {
	r.cfg.Port = port
	r.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
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

func (r *Redis) args() []string {
	port := strconv.Itoa(r.cfg.Port)
	a := []string{"--bind", "127.0.0.1", "--dir", r.Dir, "--logfile", filepath.Join(r.Dir, "redis.log"), "--save", "", "--daemonize", "no"}
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

func (r *Redis) spawn(ctx context.Context) error {
	cmd := exec.Command(r.bin, r.args()...)
	p, err := startProcess(cmd)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.proc, r.Pid = p, cmd.Process.Pid
	r.mu.Unlock()
	if err := r.waitReady(ctx, p); err != nil {
		_ = cmd.Process.Kill()
		<-p.exited
		return err
	}
	return nil
}

func (r *Redis) waitReady(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, redisStartTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if r.ping() == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("brokers: redis-server ended at once; its log says:\n%s", r.logTail())
		case <-ctx.Done():
			return fmt.Errorf("brokers: redis-server on %s doesn't answer PING: %w; its log says:\n%s", r.Addr, ctx.Err(), r.logTail())
		case <-tick.C:
		}
	}
}

func (r *Redis) logTail() string {
	b, err := os.ReadFile(filepath.Join(r.Dir, "redis.log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-1500):])
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
