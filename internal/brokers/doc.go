// Package brokers starts real message brokers on loopback, for tests, benches and `make run`. It is used by tests and by
// programs alike: it does not import testing (package brokerstest does).
package brokers
