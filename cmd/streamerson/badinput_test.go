package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/internal/brokers/brokerstest"
)

const route = "gateway:\n  routes:\n    - {match: GET /a, stream: a}\n"

// TestBadInput: each mistake gives its exit code, one line that says what to do, and nothing on standard output.
func TestBadInput(t *testing.T) {
	locked := brokerstest.Redis(t, brokers.RedisConfig{Password: "right", Own: true})
	open := brokerstest.Redis(t, brokers.RedisConfig{Own: true})
	busy, dir := taken(t), t.TempDir()
	good := writeFile(t, dir, "good.yaml", route)
	unknown := writeFile(t, dir, "unknown.yaml", "gateway:\n  listn: :1\n")
	noTLS := writeFile(t, dir, "tls.yaml", "gateway:\n  tls: {cert: no.crt, key: no.key}\n"+strings.TrimPrefix(route, "gateway:\n"))
	wrongPassword := "redis://:hunter2@" + locked.Addr + "/0"

	tests := []struct {
		name string
		env  []string
		args []string
		code int
		want string // the whole of standard error; … stands for any text
	}{
		{"unknown command", nil, []string{"gatway"}, exitUsage, `streamerson: "gatway" is not a command of streamerson; did you mean gateway?`},
		{"unknown subcommand", nil, []string{"config", "shema"}, exitUsage, `streamerson: "shema" is not a command of streamerson config; did you mean schema?`},
		{"unknown flag", nil, []string{"worker", "--sltos", "3"}, exitUsage, "streamerson: streamerson worker has no flag --sltos; did you mean --slots?"},
		{"unknown short flag", nil, []string{"worker", "-z"}, exitUsage, "streamerson: streamerson worker has no flag -z; streamerson worker --help lists them"},
		{"flag without value", nil, []string{"worker", "--slots"}, exitUsage, "streamerson: flag needs an argument: --slots; see streamerson worker --help"},
		{"bad flag value", nil, []string{"worker", "--slots", "many", "--streams", "a", "--transport", open.URL}, exitConfig, `--slots: worker.slots: this must be a whole number, not "many"`},
		{"missing argument", nil, []string{"call", "posts"}, exitUsage, "streamerson: accepts 2 arg(s), received 1; it is used as: streamerson call STREAM FUNCTION [flags]"},
		{"no file there", nil, []string{"gateway", "-c", "nowhere.yaml"}, exitConfig, "nowhere.yaml: the configuration file can't be read: there is no such file; name another with --config or STREAMERSON_CONFIG"},
		{"unknown key", nil, []string{"gateway", "-c", unknown, "--transport", open.URL}, exitConfig, unknown + ":1:1: gateway.routes: a gateway needs …\n" + unknown + ":2:3: gateway.listn: unknown key; did you mean listen?"},
		{"unknown variable", []string{"STREAMERSON_GATEWAY_LISTN=:1"}, []string{"gateway", "-c", good, "--transport", open.URL}, exitConfig, "STREAMERSON_GATEWAY_LISTN: this environment variable names no setting; unset it, or did you mean STREAMERSON_GATEWAY_LISTEN?"},
		{"missing TLS file", nil, []string{"gateway", "-c", noTLS, "--transport", open.URL}, exitConfig,
			noTLS + ":2:15: gateway.tls.cert: " + filepath.Join(dir, "no.crt") + " can't be read: there is no such file; correct the path or create the file\n" +
				noTLS + ":2:28: gateway.tls.key: " + filepath.Join(dir, "no.key") + " can't be read: there is no such file; correct the path or create the file"},
		{"unknown transport", nil, []string{"gateway", "-c", good, "--transport", "kafak://h"}, exitConfig, `--transport: transport.url: transport "kafak" is not known; known are kafka, kafkas, mem, nats, nats+core, nats+core+tls, nats+tls, redis, redis+cluster, redis+sentinel, rediss, rediss+cluster, rediss+sentinel`},
		{"wrong password", []string{"STREAMERSON_TRANSPORT_URL=" + wrongPassword}, []string{"gateway", "-c", good}, exitBroker, "streamerson: redis://:REDACTED@" + locked.Addr + "/0 (transport.url from STREAMERSON_TRANSPORT_URL): open: unauthenticated: …"},
		{"no broker there", nil, []string{"gateway", "-c", good, "--transport", "redis://127.0.0.1:1"}, exitBroker, "streamerson: redis://127.0.0.1:1 (transport.url from --transport): open: unavailable: …connection refused"},
		{"port in use", nil, []string{"gateway", "-c", good, "--transport", open.URL, "--listen", busy}, exitAddress, "…" + busy + "…in use…"},
		{"admin port in use", nil, []string{"gateway", "-c", good, "--transport", open.URL, "--listen", "127.0.0.1:0", "--admin", busy}, exitAddress, "…" + busy + "…in use…"},
		{"a worker without functions", nil, []string{"worker", "--streams", "a", "--transport", open.URL}, exitUsage, "streamerson: this program has no functions of its own: give --forward URL …"},
		{"a stream that isn't there", nil, []string{"worker", "-c", good, "--streams", "a b", "--transport", open.URL, "--forward", "http://127.0.0.1:1"}, exitConfig, `--streams: worker.streams[0].name: "a b" can't be a name: it has ' '; …`},
		{"mem across processes", nil, []string{"call", "a", "b", "--transport", "mem://x"}, exitUsage, "streamerson: mem:// lives in one process, and this command needs others: use `streamerson dev`, or name a broker with --transport"},
		{"call with a bad header", nil, []string{"call", "a", "b", "--header", "x", "--transport", open.URL}, exitUsage, `streamerson: --header "x" is not name=value`},
		{"call with a missing file", nil, []string{"call", "a", "b", "--data", "@no", "--transport", open.URL}, exitUsage, "streamerson: --data @no: open no: no such file or directory"},
		{"nobody serves the stream", nil, []string{"call", "nobody", "b", "--transport", open.URL}, exitCall + 14, "streamerson: rpc: unavailable: no live worker serves stream nobody"},
		{"dlq without ids", nil, []string{"dlq", "rm", "posts", "--transport", open.URL}, exitUsage, "streamerson: name the dead letters by their ids, or all of them with --all; streamerson dlq ls posts lists them"},
		{"dlq of an unknown id", nil, []string{"dlq", "show", "posts", "1-1", "--transport", open.URL}, exitFailed, "streamerson: there is no dead letter 1-1 on posts.dead"},
		{"demo with an unknown broker", nil, []string{"demo", "--broker", "rabbit"}, exitUsage, `streamerson: --broker "rabbit" is not known; use one of kafka, mem, nats, nats+core, redis`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := invocation{env: tt.env}.streamerson(t, tt.args...)
			if r.code != tt.code {
				t.Errorf("exit code %d, want %d", r.code, tt.code)
			}
			if r.stdout != "" {
				t.Errorf("standard output has %q", r.stdout)
			}
			if strings.Contains(r.stderr, "hunter2") {
				t.Errorf("the password is shown: %s", r.stderr)
			}
			// A program that starts writes log lines; what it ends with is its last line, or lines for a configuration.
			lines := strings.Split(strings.TrimSuffix(r.stderr, "\n"), "\n")
			want := strings.Split(tt.want, "\n")
			if len(lines) < len(want) {
				t.Fatalf("standard error is %q, want %q", r.stderr, tt.want)
			}
			for i, line := range lines[:len(lines)-len(want)] {
				if !strings.HasPrefix(line, "time=") {
					t.Errorf("line %d is neither log nor message: %s", i+1, line)
				}
			}
			for i, line := range lines[len(lines)-len(want):] {
				if !matches(line, want[i]) {
					t.Errorf("message is\n  %s\nwant\n  %s", line, want[i])
				}
			}
		})
	}
}

// matches compares with a pattern in which … stands for any text.
func matches(s, pattern string) bool {
	parts := strings.Split(pattern, "…")
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	for _, p := range parts[1:] {
		i := strings.LastIndex(s, p)
		if p != parts[len(parts)-1] {
			i = strings.Index(s, p)
		}
		if i < 0 {
			return false
		}
		s = s[i+len(p):]
	}
	return s == "" || strings.HasSuffix(pattern, "…")
}
