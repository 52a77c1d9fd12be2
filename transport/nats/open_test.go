package nats

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/transport"
)

func TestURLErrorsNameThePart(t *testing.T) {
	for raw, want := range map[string]string{
		"nats://":                          "names no host",
		"nats://h/db":                      `path "/db"`,
		"nats://h?retries=3":               `unknown parameter "retries"`,
		"nats://h?timeout=x":               "timeout",
		"nats://h?replicas=9":              "replicas",
		"nats://h?storage=tape":            "storage",
		"nats://h?dedup=perhaps":           "dedup",
		"nats+core://h?storage=file":       "stores nothing",
		"nats://h?tls_ca=x":                "nats+tls://",
		"nats+tls://h?tls_ca=/nonexistent": "tls_ca",
		"nats+tls://h?tls_cert=x":          "go together",
		"nats://h?creds=/nonexistent":      "creds",
		"nats://h?nkey=/nonexistent":       "nkey",
		"nats://u:p@h?token=t":             "several credentials",
		"nats://h?inbox_prefix=a.>":        "inbox_prefix",
	} {
		_, err := parseURL(parse(t, raw))
		if !transport.IsCode(err, transport.CodeInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want a word on %q", raw, err, want)
		}
	}
}

func TestVersions(t *testing.T) {
	for v, want := range map[string]bool{
		"2.12.6": true, "2.12.5": false, "2.12.6-RC.1": false, "2.12.10": true, "2.15.2": true, "2.13.0-RC.1": true, "3.0.0": true, "2.9.99": false, "": false, "x": false,
	} {
		if newEnough(v) != want {
			t.Errorf("%q: %v", v, !want)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	n := server(t, brokers.NATSConfig{NoJetStream: true, User: "u", Password: "secret"})
	port, err := brokers.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		url  string
		code transport.Code
	}{
		"nobody listens": {"nats://127.0.0.1:" + strconv.Itoa(port), transport.CodeUnavailable},
		"wrong password": {"nats://u:wrong-secret@" + n.Addr, transport.CodeUnauthenticated},
		"no JetStream":   {n.URL, transport.CodeUnsupported},
	} {
		_, err := Open(context.Background(), parse(t, tc.url), transport.Options{})
		if !transport.IsCode(err, tc.code) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %v", name, err, tc.code)
		}
	}
	d, err := Open(context.Background(), parse(t, "nats+core"+strings.TrimPrefix(n.URL, "nats")), transport.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// With nobody there, a request is refused at once: the caller answers 503.
func TestCoreRefusesWithoutWorkers(t *testing.T) {
	n := server(t, brokers.NATSConfig{NoJetStream: true})
	d, _ := open(t, "nats+core://"+n.Addr)
	if err := d.Ensure(t.Context(), []transport.StreamSpec{{Stream: "s", Groups: []string{"workers"}}}); err != nil {
		t.Fatal(err)
	}
	m := transport.Message{Stream: "s", Body: []byte("x")}
	if r := publish(d, m)[0]; r.Outcome != transport.OutcomeRejected || !transport.IsCode(r.Err, transport.CodeUnavailable) {
		t.Errorf("with nobody there: %v, %v", r.Outcome, r.Err)
	}
	c, err := d.Join(t.Context(), transport.Subscription{Group: "workers"})
	if err != nil {
		t.Fatal(err)
	}
	if r := publish(d, m)[0]; r.Err != nil {
		t.Error(r.Err)
	}
	if got := get(t, c, "s"); got != "x" {
		t.Errorf("got %q", got)
	}
}
