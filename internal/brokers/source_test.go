package brokers_test

import (
	"strings"
	"testing"

	"github.com/streamerson/streamerson/internal/brokers"
)

func TestSourceThatGivesNoBrokerIsAnError(t *testing.T) {
	for from, want := range map[string]string{
		"somewhere": brokers.EnvFrom + " is \"somewhere\"; it has to be local, container or address",
		"address":   brokers.EnvRedisURL + " is not set",
		"container": "this program starts none",
	} {
		t.Run(from, func(t *testing.T) {
			t.Setenv(brokers.EnvFrom, from)
			t.Setenv(brokers.EnvRedisURL, "")
			r, err := brokers.StartRedis(t.Context(), brokers.RedisConfig{})
			if err == nil {
				r.Stop()
				t.Fatal("a Redis was started")
			}
			if !strings.Contains(err.Error(), want) {
				t.Errorf("got %q, want it to say %q", err, want)
			}
		})
	}
}

func TestSourceLocalIgnoresTheAddress(t *testing.T) {
	t.Setenv(brokers.EnvFrom, "local")
	t.Setenv(brokers.EnvRedisURL, "redis://redis.example:6379")
	r, err := brokers.StartRedis(t.Context(), brokers.RedisConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Stop()
	if !r.Controllable() || strings.Contains(r.URL, "example") {
		t.Errorf("got %s, controllable: %v", r.URL, r.Controllable())
	}
}

func TestSourceErrorNeverShowsThePassword(t *testing.T) {
	t.Setenv(brokers.EnvFrom, "address")
	t.Setenv(brokers.EnvRedisURL, "redis://:hunter2@%zz")
	_, err := brokers.StartRedis(t.Context(), brokers.RedisConfig{})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}
