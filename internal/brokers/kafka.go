package brokers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// EnvKafkaAddr names a Kafka that runs already, as host:port or a kafka:// URL: it is used instead of starting one, unless
// KafkaConfig.Own.
const EnvKafkaAddr = "STREAMERSON_KAFKA_ADDR"

// Limits of starting and stopping.
const (
	// kafkaStartTimeout bounds one start until Metadata is answered; about 3 s on an idle machine.
	kafkaStartTimeout = 60 * time.Second
	// kafkaStopTimeout is how long Terminate waits after SIGTERM before SIGKILL.
	kafkaStopTimeout = 15 * time.Second
)

// KafkaConfig says what kind of broker to start: one KRaft process that is broker and controller. The zero value has no
// password.
type KafkaConfig struct {
	// User and Password, if set, make the broker demand SASL (PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512).
	User, Password string
	// PEM, if set, is a file with a private key and its certificate: there is a listener with TLS then, besides the one without.
	PEM string
	// Own insists on a broker of one's own, one that may be killed, even when EnvKafkaAddr is set.
	Own bool
	// Properties are further lines of server.properties, such as "num.partitions=3".
	Properties []string
}

// Kafka is one broker. Its methods may be called concurrently with its users, but not with each other.
type Kafka struct {
	// URL is what to give to transport.Open; Addr its host and port.
	URL, Addr string
	// TLSAddr is the host and port of the listener with TLS, if there is one.
	TLSAddr string
	// Pid of the broker, 0 when it was not started here.
	Pid int
	// Dir has the broker's files; its log is kafka.log.
	Dir string

	cfg      KafkaConfig
	java     string
	jars     string
	internal string // a listener without SASL, for looking whether it is ready
	external bool

	mu   sync.Mutex
	proc *process
}

var errExternalKafka = errors.New("brokers: the Kafka comes from " + EnvKafkaAddr + " and is not ours to control; unset it, or set KafkaConfig.Own")

// StartKafka starts a Kafka on loopback and returns when it answers, or takes the one that EnvKafkaAddr names. The first start
// on a machine fetches Kafka's jars by Maven into a cache. A missing Java or Maven is an error that says what to install.
// ctx bounds only the start.
func StartKafka(ctx context.Context, cfg KafkaConfig) (*Kafka, error) {
	if addr := os.Getenv(EnvKafkaAddr); addr != "" && !cfg.Own {
		return externalKafka(addr)
	}
	java, err := kafkaJava()
	if err != nil {
		return nil, err
	}
	jars, err := InstallKafka(ctx)
	if err != nil {
		return nil, err
	}
	// Between finding a free port and the broker's bind another process may take it: then try others.
	for attempt := 0; ; attempt++ {
		k := &Kafka{cfg: cfg, java: java, jars: jars}
		if k.Dir, err = os.MkdirTemp("", "streamerson-kafka-"); err != nil {
			return nil, err
		}
		if err = k.format(ctx); err == nil {
			err = k.spawn(ctx)
		}
		if err == nil {
			return k, nil
		}
		_ = os.RemoveAll(k.Dir)
		if attempt == 2 || ctx.Err() != nil {
			return nil, err
		}
	}
}

// format writes the configuration and the storage's first files.
func (k *Kafka) format(ctx context.Context) error {
	var ports [4]string
	for i := range ports {
		p, err := FreePort()
		if err != nil {
			return err
		}
		ports[i] = net.JoinHostPort("127.0.0.1", strconv.Itoa(p))
	}
	k.Addr, k.internal = ports[0], ports[1]
	if k.cfg.PEM != "" {
		k.TLSAddr = ports[3]
	}
	k.URL = kafkaURL(k.cfg, k.Addr)
	if err := os.WriteFile(k.properties(), []byte(kafkaProperties(k.cfg, k.Dir, ports)), 0o600); err != nil {
		return err
	}
	args := []string{"kafka.tools.StorageTool", "format", "--cluster-id", "c3RyZWFtZXJzb24tdGVzdA", "--config", k.properties()}
	if k.cfg.User != "" {
		for _, m := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
			args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", m, k.cfg.User, k.cfg.Password))
		}
	}
	cmd := exec.CommandContext(ctx, k.java, append(k.jvm("-Xmx128m"), args...)...) //nolint:gosec // java, with our own arguments
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("brokers: formatting Kafka's storage: %w; it says:\n%s", err, out)
	}
	return nil
}

func (k *Kafka) properties() string { return filepath.Join(k.Dir, "server.properties") }

func (k *Kafka) jvm(heap string) []string {
	return []string{heap, "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Djava.awt.headless=true", "-cp", filepath.Join(k.jars, "*")}
}

func (k *Kafka) spawn(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(k.Dir, "kafka.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(k.java, append(k.jvm("-Xmx512m"), "kafka.Kafka", k.properties())...) //nolint:gosec // java, with our own arguments
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, k.Dir
	p, err := startProcess(cmd)
	if err != nil {
		return err
	}
	k.mu.Lock()
	k.proc, k.Pid = p, cmd.Process.Pid
	k.mu.Unlock()
	if err := k.waitReady(ctx, p); err != nil {
		_ = cmd.Process.Kill()
		<-p.exited
		return err
	}
	return nil
}

func (k *Kafka) waitReady(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, kafkaStartTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if kafkaAnswers(k.internal) == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("brokers: Kafka ended at once; its log says:\n%s", k.logTail())
		case <-ctx.Done():
			return fmt.Errorf("brokers: Kafka on %s doesn't answer Metadata: %w; its log says:\n%s", k.Addr, ctx.Err(), k.logTail())
		case <-tick.C:
		}
	}
}

func (k *Kafka) logTail() string {
	b, err := os.ReadFile(filepath.Join(k.Dir, "kafka.log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-1500):])
}
