package brokers

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

// EnvKafkaJars is a folder with Kafka's jars (the libs folder of a Kafka distribution); without it they are fetched.
// EnvKafkaVersion names the version to fetch and start where KafkaConfig.Version doesn't.
const (
	EnvKafkaJars    = "STREAMERSON_KAFKA_JARS"
	EnvKafkaVersion = "STREAMERSON_KAFKA_VERSION"
)

// KafkaNewest and KafkaOldest are the versions that the driver is tested with; the newest is the default, as in kafka-pom.xml.
const (
	KafkaNewest = "4.3.1"
	KafkaOldest = "4.1.1"
)

var versionForm = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+$`)

func kafkaVersion(version string) (string, error) {
	if version == "" {
		version = os.Getenv(EnvKafkaVersion)
	}
	if version == "" {
		version = KafkaNewest
	}
	if !versionForm.MatchString(version) {
		return "", fmt.Errorf("brokers: Kafka version %q (KafkaConfig.Version or %s) doesn't look like %s", version, EnvKafkaVersion, KafkaNewest)
	}
	return version, nil
}

//go:embed kafka-pom.xml
var kafkaPOM []byte

// mavenCopy is pinned: the plugin's newest version may want a newer Maven than Debian has.
const mavenCopy = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

func kafkaJava() (string, error) {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		bin := filepath.Join(home, "bin", "java")
		if _, err := os.Stat(bin); err != nil {
			return "", fmt.Errorf("brokers: JAVA_HOME: %w", err)
		}
		return bin, nil
	}
	bin, err := exec.LookPath("java")
	if err != nil {
		return "", fmt.Errorf("brokers: java is not in PATH, and Kafka needs Java 17 or later: run `apt-get install openjdk-17-jre-headless`, or set JAVA_HOME, or %s to a Kafka that runs", EnvKafkaURL)
	}
	return bin, nil
}

// kafkaCache is .cache in the module's folder when this program runs inside it, and the user's cache otherwise.
func kafkaCache() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "internal", "brokers", "kafka-pom.xml")); err == nil {
			return filepath.Join(dir, ".cache"), nil
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	user, err := os.UserCacheDir()
	return filepath.Join(user, "streamerson"), err
}

// InstallKafka returns a folder with the jars of a version of Kafka ("" is EnvKafkaVersion or KafkaNewest), which it fetches by
// Maven when they are not there yet: about 90 files and 54 MB, 10 s. Processes that do so at once don't disturb each other.
// EnvKafkaJars overrides the version.
func InstallKafka(ctx context.Context, version string) (string, error) {
	version, err := kafkaVersion(version)
	if err != nil {
		return "", err
	}
	if dir := os.Getenv(EnvKafkaJars); dir != "" {
		if found, _ := filepath.Glob(filepath.Join(dir, "kafka-clients-*.jar")); len(found) == 0 {
			return "", fmt.Errorf("brokers: %s: %s holds no kafka-clients-*.jar; it has to be the libs folder of a Kafka", EnvKafkaJars, dir)
		}
		return dir, nil
	}
	cache, err := kafkaCache()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "kafka-"+version)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return "", fmt.Errorf("brokers: mvn is not in PATH, and Kafka %s has to be fetched: run `apt-get install maven`, or set %s to the libs folder of a Kafka, or %s to one that runs", version, EnvKafkaJars, EnvKafkaURL)
	}
	if err := os.MkdirAll(cache, 0o750); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(cache, "fetching-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	pom, jars := filepath.Join(tmp, "pom.xml"), filepath.Join(tmp, "jars")
	if err := os.WriteFile(pom, kafkaPOM, 0o600); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "-f", pom, mavenCopy, "-Dkafka.version="+version, "-DincludeScope=runtime", "-DoutputDirectory="+jars) //nolint:gosec // mvn, with our own arguments
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("brokers: fetching Kafka %s by Maven: %w; it says:\n%s", version, err, out[max(0, len(out)-1500):])
	}
	if err := os.Rename(jars, dir); err != nil && !errors.Is(err, os.ErrExist) {
		// Another process was faster, unless the folder isn't there.
		if _, statErr := os.Stat(dir); statErr != nil {
			return "", err
		}
	}
	return dir, nil
}
