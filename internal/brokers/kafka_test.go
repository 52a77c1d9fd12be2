package brokers_test

import (
	"strings"
	"testing"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/internal/brokers/brokerstest"
)

func TestKafkaMissingJavaSaysWhatToInstall(t *testing.T) {
	t.Setenv(brokers.EnvFrom, "")
	t.Setenv("PATH", "")
	t.Setenv("JAVA_HOME", "")
	_, err := brokers.StartKafka(t.Context(), brokers.KafkaConfig{Own: true})
	if err == nil || !strings.Contains(err.Error(), "apt-get install openjdk-17") {
		t.Fatalf("got %v", err)
	}
}

func TestKafkaJarsThatAreNone(t *testing.T) {
	t.Setenv(brokers.EnvKafkaJars, t.TempDir())
	_, err := brokers.InstallKafka(t.Context(), "")
	if err == nil || !strings.Contains(err.Error(), brokers.EnvKafkaJars) {
		t.Fatalf("got %v", err)
	}
}

func TestKafkaAddressFromEnvironment(t *testing.T) {
	t.Setenv(brokers.EnvFrom, "")
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

func TestKafkaSurvivesKill9AndStartsEmpty(t *testing.T) {
	k := brokerstest.Kafka(t, brokers.KafkaConfig{User: "app", Password: "se:cr'et", Own: true})
	pid := k.Pid
	if err := k.Kill9(); err != nil {
		t.Fatal(err)
	}
	if err := k.Start(t.Context()); err != nil { // Start returns when Metadata is answered
		t.Fatal(err)
	}
	if k.Pid == pid {
		t.Error("the pid did not change")
	}
	if err := k.StartEmpty(t.Context()); err != nil {
		t.Fatal(err)
	}
}
