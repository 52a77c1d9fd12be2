package brokers_test

import (
	"strings"
	"testing"

	"github.com/streamerson/streamerson/internal/brokers"
)

func TestKafkaMissingJavaSaysWhatToInstall(t *testing.T) {
	t.Setenv("PATH", "")
	t.Setenv("JAVA_HOME", "")
	_, err := brokers.StartKafka(t.Context(), brokers.KafkaConfig{Own: true})
	if err == nil || !strings.Contains(err.Error(), "apt-get install openjdk-17") {
		t.Fatalf("got %v", err)
	}
}

func TestKafkaJarsThatAreNone(t *testing.T) {
	t.Setenv(brokers.EnvKafkaJars, t.TempDir())
	_, err := brokers.InstallKafka(t.Context())
	if err == nil || !strings.Contains(err.Error(), brokers.EnvKafkaJars) {
		t.Fatalf("got %v", err)
	}
}

func TestKafkaAddressFromEnvironment(t *testing.T) {
	t.Setenv(brokers.EnvKafkaURL, "broker.example:9092")
	k, err := brokers.StartKafka(t.Context(), brokers.KafkaConfig{})
	if err != nil || k.URL != "kafka://broker.example:9092" || k.Pid != 0 {
		t.Fatalf("got %+v, %v", k, err)
	}
	if k.Kill9() == nil {
		t.Fatal("Kill9 of a foreign broker must fail")
	}
	k.Stop()
}
