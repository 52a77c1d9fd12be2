package brokers

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// EnvKafkaImage names the image of containers; without it KafkaImage is used, which scripts/build-images.sh builds.
	EnvKafkaImage = "STREAMERSON_KAFKA_IMAGE"
	// KafkaImage has sh, java in its PATH, and Kafka's jars in /opt/kafka/libs.
	KafkaImage = "streamerson-test/kafka"
)

// kafkaLimits: a start takes about 3 s on an idle machine, and 11 s were seen with ten processes for two cores. The bound is for
// a broker that will never be ready.
var kafkaLimits = startLimits{start: 180 * time.Second, stop: 15 * time.Second, tick: 50 * time.Millisecond}

// KafkaConfig says what kind of broker to start: one KRaft process that is broker and controller. The zero value has no
// password.
type KafkaConfig struct {
	// Version such as "4.1.1"; "" is EnvKafkaVersion or KafkaNewest. A container has the version of its image.
	Version string
	// User and Password, if set, make the broker demand SASL (PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512).
	User, Password string
	// PEM, if set, is a file with a private key and its certificate: there is a listener with TLS then, besides the one without.
	PEM string
	// Own insists on a broker of one's own, one that may be killed, even when EnvKafkaURL is set.
	Own bool
	// Launcher starts the broker when EnvFrom is container; package brokerstest sets it.
	Launcher Launcher
	// Optimized lets the JVM use its optimizing compiler: for measurements. Without it a broker starts with a third less CPU.
	Optimized bool
	// Dir holds the broker's files, and is kept; "" means a temporary one that Stop removes.
	Dir string
	// Properties are further lines of server.properties, such as "num.partitions=3".
	Properties []string

	heap string // the JVM's option; "" is -Xmx512m
}

// Kafka is one broker; its log in Dir is kafka.log.
type Kafka struct {
	Broker
	// TLSAddr is the host and port of the listener with TLS, if there is one.
	TLSAddr string

	cfg   KafkaConfig
	ports [4]int // of the clients' listener, the broker's own (without SASL), the controller's, and the one with TLS
}

// StartKafka starts a Kafka on loopback and returns when it answers, or takes the one that EnvKafkaURL names, as EnvFrom says.
// The first start on a machine fetches Kafka's jars by Maven into a cache. A missing Java or Maven is an error that says what
// to install. ctx bounds only the start.
func StartKafka(ctx context.Context, cfg KafkaConfig) (*Kafka, error) {
	from, address, err := choose(EnvKafkaURL, "kafka", cfg.Own)
	if err != nil {
		return nil, err
	}
	k := &Kafka{cfg: cfg}
	if from == FromAddress {
		k.Broker = at("Kafka", EnvKafkaURL, address)
		return k, nil
	}
	var java, jars string
	if from == FromLocal {
		if java, err = kafkaJava(); err != nil {
			return nil, err
		}
		if jars, err = InstallKafka(ctx, cfg.Version); err != nil {
			return nil, err
		}
	}
	err = startOnFreePorts(ctx, func() error {
		k.Broker = Broker{kind: "Kafka", envURL: EnvKafkaURL, limits: kafkaLimits}
		for i := range k.ports {
			if k.ports[i], err = FreePort(); err != nil {
				return err
			}
		}
		k.Addr = loopback(k.ports[0])
		k.URL = kafkaURL(cfg, k.Addr)
		if cfg.PEM != "" {
			k.TLSAddr = loopback(k.ports[3])
		}
		k.ready = func() error { return kafkaAnswers(loopback(k.ports[1])) }
		if from == FromContainer {
			err = k.container()
		} else {
			err = k.local(java, jars)
		}
		if err == nil {
			if err = k.Start(ctx); err != nil {
				k.Stop()
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

func (k *Kafka) local(java, jars string) error {
	dir, temp, err := folder(k.cfg.Dir, "streamerson-kafka-")
	if err != nil {
		return err
	}
	k.Dir = dir
	properties := filepath.Join(dir, "server.properties")
	p := &process{dir: dir, tempDir: temp, log: "kafka.log", keep: []string{"server.properties"}}
	k.program = p
	p.prepare = func(ctx context.Context) error {
		if _, err := os.Stat(filepath.Join(dir, "data", "meta.properties")); err == nil {
			return nil
		}
		cmd := exec.CommandContext(ctx, java, append(kafkaJVM(k.cfg, "-Xmx128m", jars), kafkaFormat(k.cfg, properties)...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("brokers: formatting Kafka's storage: %w; it says:\n%s", err, out)
		}
		return nil
	}
	p.command = func() *exec.Cmd {
		cmd := exec.Command(java, append(kafkaJVM(k.cfg, cmp.Or(k.cfg.heap, "-Xmx512m"), jars), "kafka.Kafka", properties)...)
		cmd.Dir = dir
		return cmd
	}
	text := kafkaProperties(k.cfg, "127.0.0.1", filepath.Join(dir, "data"), k.cfg.PEM, k.ports)
	return os.WriteFile(properties, []byte(text), 0o600)
}

// Where a container finds its files.
const (
	kafkaBoxJars       = "/opt/kafka/libs"
	kafkaBoxProperties = "/etc/kafka-test.properties"
	kafkaBoxPEM        = "/etc/kafka-test.pem"
	kafkaBoxScript     = "/etc/kafka-test.sh"
)

func (k *Kafka) container() error {
	if k.cfg.Launcher == nil {
		return needsLauncher("Kafka")
	}
	image := KafkaImage
	if name := os.Getenv(EnvKafkaImage); name != "" {
		image = name
	}
	files := map[string][]byte{
		kafkaBoxProperties: []byte(kafkaProperties(k.cfg, "0.0.0.0", "/data/kafka", kafkaBoxPEM, k.ports)),
		kafkaBoxScript: []byte("set -e\n[ -e /data/kafka/meta.properties ] || " + shellLine("java", kafkaJVM(k.cfg, "-Xmx128m", kafkaBoxJars), kafkaFormat(k.cfg, kafkaBoxProperties)) +
			"exec " + shellLine("java", kafkaJVM(k.cfg, "-Xmx512m", kafkaBoxJars), []string{"kafka.Kafka", kafkaBoxProperties})),
	}
	ports := k.ports[:2] // the controller's stays inside
	if k.cfg.PEM != "" {
		pem, err := os.ReadFile(k.cfg.PEM)
		if err != nil {
			return err
		}
		files[kafkaBoxPEM] = pem
		ports = append(ports[:2:2], k.ports[3])
	}
	k.program = k.cfg.Launcher(Spec{Image: image, Command: []string{"sh", kafkaBoxScript}, Ports: ports, Files: files})
	return nil
}

// shellLine quotes a command for sh.
func shellLine(program string, args ...[]string) string {
	line := program
	for _, as := range args {
		for _, a := range as {
			line += " '" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return line + "\n"
}

func kafkaFormat(cfg KafkaConfig, properties string) []string {
	args := []string{"kafka.tools.StorageTool", "format", "--cluster-id", "c3RyZWFtZXJzb24tdGVzdA", "--config", properties}
	if cfg.User != "" {
		for _, m := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
			args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", m, cfg.User, cfg.Password))
		}
	}
	return args
}

func kafkaJVM(cfg KafkaConfig, heap, jars string) []string {
	args := []string{heap, "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Djava.awt.headless=true", "-cp", jars + "/*"}
	if !cfg.Optimized {
		args = append([]string{"-XX:TieredStopAtLevel=1"}, args...)
	}
	return args
}
