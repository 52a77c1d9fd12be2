package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// parse reads a text as streamerson.yaml with exactly the given environment.
func parse(t *testing.T, text string, use Use, env ...string) (*Config, error) {
	t.Helper()
	return Parse("streamerson.yaml", []byte(text), Options{Environ: append([]string{}, env...), Use: use, SkipFiles: true})
}

func mustParse(t *testing.T, text string, env ...string) *Config {
	t.Helper()
	c, err := parse(t, text, 0, env...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	for _, text := range []string{"", "---\n", "gateway:\nworker:\n", "# nothing\n", "gateway: {}\n"} {
		c := mustParse(t, text)
		if c.Gateway.Listen != "127.0.0.1:8080" || c.Gateway.Timeouts.Idle.D() != 2*time.Minute || c.Gateway.Limits.Body != 8<<20 ||
			c.Worker.Slots != 64 || c.Worker.Lease.D() != 3*time.Second || c.Tracing.Sample != 0.1 || c.Log.Level != "info" {
			t.Errorf("%q: defaults are %+v", text, c)
		}
		want := []Duration{Duration(10 * time.Second), Duration(20 * time.Second), Duration(30 * time.Second)}
		if !reflect.DeepEqual(c.Worker.RetryDelays, want) {
			t.Errorf("%q: retry delays are %v", text, c.Worker.RetryDelays)
		}
	}
}

const full = `
transport:
  url: redis://app:${REDIS_PASSWORD}@127.0.0.1:6379/0
  params: {tls_ca: ca.pem, pool: 3}
gateway:
  listen: ":8443"
  tls: {cert: tls.crt, key: /abs/tls.key}
  server_timing: true
  timeouts: {header: 1s, read: 2s, idle: 3m, drain: 4s, call: 1m30s}
  limits:
    body: 1_000
    header: 16KiB
    in_flight: 7
  cors: {origins: ["https://app.example.org", "http://localhost:3000"], methods: [GET], headers: [x-a], credentials: true, max_age: 1h}
  auth:
    jwt: {algorithms: [RS256], issuer: i, audience: a, jwks_file: keys/jwks.json, claims: {tenant: acme, level: 3}}
  trusted_proxies: [10.0.0.0/8, "::1"]
  routes:
    - match: POST /posts/image
      stream: posts
      function: posts.image
      timeout: 5s
      body_limit: 16MiB
      in_flight: 64
      public: true
      pack: true
    - {match: "GET /posts/{id}", stream: posts}
worker:
  group: g
  slots: 8
  lease: &short 500ms
  drain: *short
  max_attempts: 2
  retry_delays: [1s, *short]
  streams:
    - {name: posts, min: 4, weight: 2, max: 6, lend: true, max_backlog: 10}
    - name: users
  forward: http://127.0.0.1:3000/base
  functions: {posts.list: GET /posts}
admin: {listen: "127.0.0.1:0", pprof: true}
log: {level: debug, format: json}
tracing: {endpoint: "http://127.0.0.1:4318", service: posts, sample: 1}
`

func TestFull(t *testing.T) {
	c := mustParse(t, full, "REDIS_PASSWORD=s3cret")
	checks := []struct {
		what      string
		got, want any
	}{
		{"url", c.Transport.URL, "redis://app:s3cret@127.0.0.1:6379/0"},
		{"address", c.Transport.Address(), "redis://app:s3cret@127.0.0.1:6379/0?pool=3&tls_ca=ca.pem"},
		{"params", c.Transport.Params, map[string]string{"tls_ca": "ca.pem", "pool": "3"}},
		{"cert", c.Gateway.TLS.Cert, "tls.crt"},
		{"key", c.Gateway.TLS.Key, "/abs/tls.key"},
		{"call", c.Gateway.Timeouts.Call.D(), 90 * time.Second},
		{"body", c.Gateway.Limits.Body, Size(1000)},
		{"leeway", c.Gateway.Auth.JWT.Leeway.D(), 30 * time.Second},
		{"claims", c.Gateway.Auth.JWT.Claims, map[string]string{"tenant": "acme", "level": "3"}},
		{"function", c.Gateway.Routes[1].Function, "GET /posts/{id}"},
		{"route timeout", c.Gateway.Routes[1].Timeout.D(), 90 * time.Second},
		{"route body", c.Gateway.Routes[0].BodyLimit, Size(16 << 20)},
		{"drain", c.Worker.Drain.D(), 500 * time.Millisecond},
		{"delays", c.Worker.RetryDelays, []Duration{Duration(time.Second), Duration(500 * time.Millisecond)}},
		{"streams", c.Worker.Streams, []Stream{{Name: "posts", Min: 4, Weight: 2, Max: 6, Lend: true, MaxBacklog: 10}, {Name: "users", Weight: 1}}},
		{"admin", c.Admin, Admin{Listen: "127.0.0.1:0", Pprof: true}},
		{"pack", [2]bool{c.Gateway.Routes[0].Pack, c.Gateway.Routes[1].Pack}, [2]bool{true, false}},
		{"where", c.Where("gateway.routes[1].match").String(), "streamerson.yaml:27:15"},
	}
	for _, k := range checks {
		if !reflect.DeepEqual(k.got, k.want) {
			t.Errorf("%s is %v, want %v", k.what, k.got, k.want)
		}
	}
}

func TestPathsAreRelativeToTheFile(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "streamerson.yaml")
	if err := os.WriteFile(file, []byte("gateway: {tls: {cert: tls.crt, key: tls.key}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file, Options{Environ: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "tls.crt"); c.Gateway.TLS.Cert != want {
		t.Errorf("cert is %s, want %s", c.Gateway.TLS.Cert, want)
	}
	if err := os.Remove(filepath.Join(dir, "tls.key")); err != nil {
		t.Fatal(err)
	}
	_, err = Load(file, Options{Environ: []string{}})
	want := file + ":1:37: gateway.tls.key: " + filepath.Join(dir, "tls.key") + " can't be read: there is no such file; correct the path or create the file"
	if err == nil || err.Error() != want {
		t.Errorf("a missing key gives\n  %v, want\n  %s", err, want)
	}
}

func TestMissingFile(t *testing.T) {
	_, err := Load("nowhere.yaml", Options{Environ: []string{}})
	want := "nowhere.yaml: the configuration file can't be read: there is no such file; name another with --config or STREAMERSON_CONFIG"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestEnvironmentAndOverrides(t *testing.T) {
	text := "gateway: {listen: \":1\"}\nworker: {slots: 2, streams: [{name: posts, min: 2}, {name: users}]}\n"
	c, err := Parse("f", []byte(text), Options{
		Environ: []string{
			"STREAMERSON_GATEWAY_LISTEN=:2", "STREAMERSON_WORKER_SLOTS=3", "STREAMERSON_TRANSPORT_PARAMS=a=1, b=2", "HOME=/",
			"STREAMERSON_GATEWAY_AUTH_JWT_ISSUER=i", "STREAMERSON_GATEWAY_AUTH_JWT_AUDIENCE=a", "STREAMERSON_GATEWAY_AUTH_JWT_ALGORITHMS=RS256,ES256",
			"STREAMERSON_GATEWAY_AUTH_JWT_KEY_FILE=k", "STREAMERSON_REDIS_SERVER=/usr/bin/redis-server", "STREAMERSON_CONFIG=f",
			"STREAMERSON_SERVICE_HOST=10.0.0.1", "STREAMERSON_GATEWAY_PORT=tcp://10.0.0.1:80", "STREAMERSON_GATEWAY_PORT_80_TCP_ADDR=10.0.0.1",
			"STREAMERSON_GATEWAY_SERVICE_PORT_HTTP=80",
		},
		Overrides: []Override{{Path: "worker.slots", Value: "4", Source: "--slots"}, {Path: "worker.streams", Value: "posts", Source: "--streams"}},
		SkipFiles: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Gateway.Listen != ":2" || c.Worker.Slots != 4 || c.Transport.Params["b"] != "2" {
		t.Errorf("got %+v", c)
	}
	if c.Gateway.Auth.JWT.Leeway == 0 || len(c.Gateway.Auth.JWT.Algorithms) != 2 {
		t.Errorf("jwt is %+v", c.Gateway.Auth.JWT)
	}
	want := []Stream{{Name: "posts", Min: 2, Weight: 1}}
	if !reflect.DeepEqual(c.Worker.Streams, want) {
		t.Errorf("streams are %+v", c.Worker.Streams)
	}
	if got := c.Where("worker.slots").String(); got != "--slots" {
		t.Errorf("worker.slots came from %s", got)
	}
}

func TestEnvNamesAreUnambiguous(t *testing.T) {
	names, _ := EnvNames()
	seen := map[string]bool{}
	for _, n := range names {
		if seen[n] {
			t.Errorf("%s names two settings", n)
		}
		seen[n] = true
		if kubernetesVar.MatchString(n) {
			t.Errorf("%s looks like a variable that Kubernetes sets", n)
		}
	}
	for _, n := range []string{"STREAMERSON_TRANSPORT_URL", "STREAMERSON_WORKER_MAX_ATTEMPTS", "STREAMERSON_GATEWAY_LIMITS_IN_FLIGHT"} {
		if !seen[n] {
			t.Errorf("%s is missing from %v", n, names)
		}
	}
}

func TestDifferences(t *testing.T) {
	a := mustParse(t, "gateway: {listen: ':1', routes: [{match: GET /a, stream: s}]}\nworker: {slots: 1}\n")
	b := mustParse(t, "gateway: {listen: ':1', routes: [{match: GET /b, stream: s}], limits: {body: 1}}\nworker: {slots: 2}\n")
	want := []string{"gateway.limits.body", "gateway.routes", "worker.slots"}
	if got := Differences(a, b); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := Differences(a, a); len(got) != 0 {
		t.Errorf("a configuration differs from itself in %v", got)
	}
}

func TestShowHidesSecrets(t *testing.T) {
	c := mustParse(t, "transport: {url: 'redis://u:hunter2@h:1/0?sentinel_password=hunter3', params: {password: hunter4, db: 1}}\n")
	out, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if s := string(out); strings.Contains(s, "hunter") || !strings.Contains(s, "redis://u:REDACTED@h:1/0") || !strings.Contains(s, "idle: 2m\n") {
		t.Errorf("shown:\n%s", s)
	}
	// What is shown can be read again.
	if _, err := parse(t, string(out), 0); err != nil {
		t.Errorf("the shown text is not good: %v", err)
	}
}

func TestScalars(t *testing.T) {
	for in, want := range map[string]Size{"8MiB": 8 << 20, "1.5KiB": 1536, "10MB": 10e6, "0": 0, "77": 77, "2 GiB": 2 << 30, "5B": 5} {
		if got, err := parseSize(in); err != nil || got != want {
			t.Errorf("%s is %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "MiB", "-1", "8Mib", "NaN", "1e30", "0.5", "inf"} {
		if got, err := parseSize(in); err == nil {
			t.Errorf("%q was read as %d", in, got)
		}
	}
	for in, want := range map[Size]string{0: "0", 1536: "1536", 2048: "2KiB", 8 << 20: "8MiB", 1 << 40: "1024GiB"} {
		if got := in.String(); got != want {
			t.Errorf("%d is shown as %s, want %s", int64(in), got, want)
		}
	}
	for in, want := range map[time.Duration]string{2 * time.Minute: "2m", time.Hour: "1h", 90 * time.Second: "1m30s", 250 * time.Millisecond: "250ms", 0: "0s"} {
		if got := Duration(in).String(); got != want {
			t.Errorf("%v is shown as %s, want %s", in, got, want)
		}
	}
}

func TestExpansion(t *testing.T) {
	c := mustParse(t, "worker: {group: 'a${X}b${Y}'}\nlog: {level: '${L}'}\ntracing: {service: 'x$${X}$5$'}\ngateway: {timeouts: {call: '${T}'}}\n", "X=1", "Y=", "L=warn", "T=3s")
	if c.Worker.Group != "a1b" || c.Log.Level != "warn" || c.Tracing.Service != "x${X}$5$" || c.Gateway.Timeouts.Call.D() != 3*time.Second {
		t.Errorf("group %q, level %q, service %q, call %v", c.Worker.Group, c.Log.Level, c.Tracing.Service, c.Gateway.Timeouts.Call)
	}
}
