package brokers

import (
	"fmt"
	"net/url"
	"os"
	"strings"
)

// EnvFrom says where a broker comes from: one of the sources below. Without it a broker is taken from its address, if
// that is set, and started here otherwise.
const EnvFrom = "STREAMERSON_BROKER_FROM"

// Environment variables with the addresses of brokers that run already. A Kafka may be host:port instead of a URL.
const (
	EnvRedisURL = "STREAMERSON_REDIS_URL"
	EnvKafkaURL = "STREAMERSON_KAFKA_URL"
	EnvNATSURL  = "STREAMERSON_NATS_URL"
)

// Source is a value of EnvFrom.
type Source string

// The sources. Nothing is ever skipped: a source that can't give the broker is an error that says what is missing.
const (
	// FromLocal starts the program that is installed here, whatever the addresses say.
	FromLocal Source = "local"
	// FromContainer starts a container: only a test can, see package brokerstest.
	FromContainer Source = "container"
	// FromAddress takes the broker at the address, which must be set. That broker is not ours: it can't be killed or
	// restarted. A test that insists on a broker of its own (Own) gets a local one.
	FromAddress Source = "address"
)

// From reads EnvFrom; "" means that it isn't set.
func From() (Source, error) {
	s := Source(os.Getenv(EnvFrom))
	switch s {
	case "", FromLocal, FromContainer, FromAddress:
		return s, nil
	default:
		return "", fmt.Errorf("brokers: %s is %q; it has to be local, container or address", EnvFrom, string(s))
	}
}

// choose says where a broker of the given scheme comes from. It is never "". address is a URL if it is FromAddress.
func choose(envURL, scheme string, own bool) (from Source, address string, err error) {
	if from, err = From(); err != nil {
		return "", "", err
	}
	raw := os.Getenv(envURL)
	switch {
	case from == FromContainer:
		return FromContainer, "", nil
	case from == FromLocal, own, from == "" && raw == "":
		return FromLocal, "", nil
	case raw == "":
		return "", "", fmt.Errorf("brokers: %s is address, but %s is not set; give it a URL such as %s://127.0.0.1:1234", EnvFrom, envURL, scheme)
	}
	if scheme == "kafka" && !strings.Contains(raw, "://") {
		raw = scheme + "://" + raw
	}
	if u, err := url.Parse(raw); err != nil || u.Host == "" {
		// url.Parse's error repeats the URL, and with it a password.
		return "", "", fmt.Errorf("brokers: %s is not a URL such as %s://127.0.0.1:1234", envURL, scheme)
	}
	return FromAddress, raw, nil
}
