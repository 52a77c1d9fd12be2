package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/internal/brokers/brokerstest"
)

func TestHelpAndVersion(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}, {"help", "worker"}, {"config"}, {"dlq", "--help"}, {"completion", "bash"}, {"version"}, {"config", "schema"}, {"config", "env"}} {
		r := streamerson(t, args...)
		if r.code != 0 || r.stdout == "" || r.stderr != "" {
			t.Errorf("%v: code %d, %d bytes, stderr %q", args, r.code, len(r.stdout), r.stderr)
		}
	}
	if r := streamerson(t, "config", "schema"); !json.Valid([]byte(r.stdout)) {
		t.Error("the schema is not JSON")
	}
	if r := streamerson(t, "worker", "--help"); strings.Contains(r.stdout, "until-eof") || strings.Contains(r.stdout, "demo-posts") {
		t.Error("help shows flags that are not for people")
	}
}

func TestConfigShowHidesSecrets(t *testing.T) {
	r := invocation{env: []string{"STREAMERSON_TRANSPORT_URL=redis://u:hunter2@h/0", "STREAMERSON_WORKER_SLOTS=5"}}.streamerson(t, "config", "show")
	if r.code != 0 || strings.Contains(r.stdout, "hunter2") || !strings.Contains(r.stdout, "url: redis://u:REDACTED@h/0") || !strings.Contains(r.stdout, "slots: 5") {
		t.Errorf("code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

func TestExampleConfigIsRight(t *testing.T) {
	example, err := filepath.Abs("../../examples/posts/streamerson.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r := streamerson(t, "config", "check", example)
	if r.code != 0 || !strings.Contains(r.stdout, "is right: 7 routes, 4 worker streams") {
		t.Errorf("code %d, %s%s", r.code, r.stdout, r.stderr)
	}
}

// TestWorkerAndCall: a sidecar before an HTTP server, and calls from the shell.
func TestWorkerAndCall(t *testing.T) {
	redis := brokerstest.Redis(t, brokers.RedisConfig{Own: true})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/missing" {
			http.Error(w, "no such thing", http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(r.Method + " " + r.URL.String() + " x=" + r.Header.Get("X-A")))
	}))
	defer server.Close()
	file := writeFile(t, t.TempDir(), "w.yaml", "worker:\n  forward: "+server.URL+"\n  streams: [{name: things}, {name: others}]\n  functions: {things.list: GET /things?all=1}\n")
	env := []string{"STREAMERSON_TRANSPORT_URL=" + redis.URL}
	admin := freeAddr(t)
	w := start(t, env, "worker", "-c", file, "--streams", "things", "--admin", admin)
	eventually(t, "the worker is ready", func() bool { status, _ := get(t, "http://"+admin+"/readyz"); return status == 200 })

	inv := invocation{env: env}
	for _, tt := range []struct {
		args []string
		code int
		out  string
	}{
		{[]string{"GET /a%20b?c=d", "--header", "x-a=1"}, 0, "GET /a%20b?c=d x=1"},
		{[]string{"things.list"}, 0, "GET /things?all=1 x="},
		{[]string{"resize", "--data", "xx"}, 0, "POST /resize x="},
		{[]string{"GET /missing"}, exitCall + 5, "no such thing\n"},
	} {
		if r := inv.streamerson(t, append([]string{"call", "things"}, tt.args...)...); r.code != tt.code || r.stdout != tt.out {
			t.Errorf("call %q: code %d, %q, %s; want code %d, %q", tt.args, r.code, r.stdout, r.stderr, tt.code, tt.out)
		}
	}
	if r := inv.streamerson(t, "call", "others", "x"); r.code != exitCall+14 {
		t.Errorf("a stream that --streams leaves out is served: code %d, %s", r.code, r.stdout)
	}
	if status, body := get(t, "http://"+admin+"/metrics"); status != 200 || !strings.Contains(body, `streamerson_server_requests_total{code="ok",function="resize",stream="things"} 1`) {
		t.Errorf("metrics: status %d, without the request:\n%.2000s", status, body)
	}
	w.signal(syscall.SIGTERM)
	if code := w.exit(); code != 0 {
		t.Errorf("the worker exits with %d after SIGTERM", code)
	}
}

// TestWorkerReload: streams are added by a change of the file and by SIGHUP; a bad file changes nothing and says why.
func TestWorkerReload(t *testing.T) {
	redis := brokerstest.Redis(t, brokers.RedisConfig{Own: true})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	dir := t.TempDir()
	text := func(streams string) string {
		return "worker:\n  forward: " + server.URL + "\n  streams: [" + streams + "]\n"
	}
	file := writeFile(t, dir, "w.yaml", text("{name: one}"))
	env := []string{"STREAMERSON_TRANSPORT_URL=" + redis.URL}
	w := start(t, env, "worker", "-c", file)
	inv := invocation{env: env}
	served := func(stream string) {
		t.Helper()
		eventually(t, stream+" is served", func() bool { return inv.streamerson(t, "call", stream, "f").code == 0 })
	}
	served("one")
	writeFile(t, dir, "w.yaml", text("{name: one}, {name: two}"))
	served("two")

	writeFile(t, dir, "w.yaml", text("{name: one, mni: 1}"))
	w.wrote("configuration not used, the one before stays in force")
	w.wrote(file + ":3:25: worker.streams[0].mni: unknown key; did you mean min?")
	served("two")

	writeFile(t, dir, "w.yaml", text("{name: one}")+"  group: other\n")
	w.wrote("this setting takes effect at the next start only")
	w.wrote("setting=worker.group")
	w.signal(syscall.SIGHUP)
	eventually(t, "SIGHUP reads the file again", func() bool { return strings.Count(w.out.String(), "configuration read again") >= 3 })
	w.signal(syscall.SIGTERM)
	if code := w.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestSignals: the first signal waits for what runs, the second doesn't.
func TestSignals(t *testing.T) {
	redis := brokerstest.Redis(t, brokers.RedisConfig{Own: true})
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
		_, _ = w.Write([]byte("done"))
	}))
	defer server.Close()
	env := []string{"STREAMERSON_TRANSPORT_URL=" + redis.URL}
	inv := invocation{env: env}

	w := start(t, env, "worker", "--streams", "s", "--forward", server.URL)
	answer := make(chan result, 1)
	w.wrote("worker made")
	go func() { answer <- inv.streamerson(t, "call", "s", "f", "--timeout", "30s") }()
	<-arrived
	w.signal(syscall.SIGTERM)
	w.wrote("worker drains")
	release <- struct{}{}
	if r := <-answer; r.code != 0 || r.stdout != "done" {
		t.Errorf("the call that ran during the drain: code %d, %q, %s", r.code, r.stdout, r.stderr)
	}
	if code := w.exit(); code != 0 {
		t.Errorf("the drained worker exits with %d", code)
	}

	w = start(t, env, "worker", "--streams", "s", "--forward", server.URL)
	go func() { answer <- inv.streamerson(t, "call", "s", "f", "--timeout", "15s") }()
	<-arrived
	w.signal(syscall.SIGTERM)
	w.wrote("worker drains")
	w.signal(syscall.SIGINT)
	if code := w.exit(); code != exitSignal {
		t.Errorf("after a second signal the exit code is %d, want %d", code, exitSignal)
	}
	w.wrote("second signal")
	close(release)
	<-answer
}

// TestDeadLetters: a one-way message that always fails becomes a dead letter; it is listed, shown, replayed and removed.
func TestDeadLetters(t *testing.T) {
	redis := brokerstest.Redis(t, brokers.RedisConfig{Own: true})
	var broken atomic.Bool
	var handled atomic.Int64
	broken.Store(true)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			http.Error(w, "the disk is full", http.StatusInsufficientStorage)
			return
		}
		handled.Add(1)
	}))
	defer server.Close()
	env := []string{"STREAMERSON_TRANSPORT_URL=" + redis.URL, "STREAMERSON_WORKER_RETRY_DELAYS=10ms"}
	start(t, env, "worker", "--streams", "audit", "--forward", server.URL)
	inv := invocation{env: env, stdin: `{"who": "me"}`}
	dlq := func(args ...string) string {
		t.Helper()
		r := inv.streamerson(t, append([]string{"dlq"}, args...)...)
		if r.code != 0 {
			t.Fatalf("dlq %v: code %d, %s", args, r.code, r.stderr)
		}
		return r.stdout
	}
	if out := dlq("ls", "audit"); out != "no dead letters on audit.dead\n" {
		t.Errorf("before anything: %s", out)
	}
	for range 2 {
		if r := inv.streamerson(t, "call", "audit", "record", "--one-way", "--data", "-"); r.code != 0 || r.stdout != "" {
			t.Fatalf("one-way call: code %d, %s%s", r.code, r.stdout, r.stderr)
		}
	}
	eventually(t, "both are dead letters", func() bool { return strings.Count(dlq("ls", "audit"), "failed") == 2 })
	rows := strings.Split(dlq("ls", "audit.dead"), "\n")
	first, second := strings.Fields(rows[1])[0], strings.Fields(rows[2])[0]
	if !strings.Contains(rows[1], "record") || !strings.Contains(rows[1], "the disk is full") {
		t.Errorf("row: %s", rows[1])
	}
	shown := dlq("show", "audit", first)
	for _, want := range []string{"dead-cause: failed", "dead-stream: audit", "function record", `{\"who\": \"me\"}`} {
		if !strings.Contains(shown, want) {
			t.Errorf("shown without %s:\n%s", want, shown)
		}
	}
	if out := dlq("rm", "audit", second); out != "removed 1\n" {
		t.Errorf("rm: %s", out)
	}
	broken.Store(false)
	if out := dlq("replay", "audit", "--all"); out != "replayed 1\n" {
		t.Errorf("replay: %s", out)
	}
	eventually(t, "the replayed message is handled", func() bool { return handled.Load() == 1 })
	if out := dlq("ls", "audit"); out != "no dead letters on audit.dead\n" {
		t.Errorf("after all: %s", out)
	}
}

func TestRoutesTable(t *testing.T) {
	redis := brokerstest.Redis(t, brokers.RedisConfig{Own: true})
	file := writeFile(t, t.TempDir(), "r.yaml", "gateway:\n  routes:\n    - {match: 'GET /posts/{id}', stream: posts, timeout: 3s}\n    - {match: POST /jobs, stream: jobs, one_way: true}\n")
	env := []string{"STREAMERSON_TRANSPORT_URL=" + redis.URL}
	w := start(t, env, "worker", "--streams", "posts", "--demo-posts")
	w.wrote("worker made")
	var out string
	eventually(t, "the worker shows", func() bool {
		r := invocation{env: env}.streamerson(t, "routes", "-c", file)
		out = r.stdout
		return strings.HasSuffix(strings.TrimSpace(strings.Split(out+"\n\n", "\n")[1]), " 1")
	})
	lines := strings.Split(out, "\n")
	if f := strings.Fields(lines[1]); f[0] != "GET" || f[1] != "/posts/{id}" || f[2] != "posts" || !strings.Contains(lines[1], "3s") {
		t.Errorf("row: %s", lines[1])
	}
	if !strings.Contains(lines[2], "one-way") || !strings.Contains(lines[2], "0 (no such stream yet)") {
		t.Errorf("row: %s", lines[2])
	}
	r := streamerson(t, "routes", "-c", file)
	if r.code != 0 || !strings.Contains(r.stderr, "no broker is configured") || !strings.Contains(r.stdout, "?") {
		t.Errorf("without a broker: code %d, %s%s", r.code, r.stdout, r.stderr)
	}
}

// TestSidecarWaitsForItsTarget: no request is taken before the target is there.
func TestSidecarWaitsForItsTarget(t *testing.T) {
	redis := brokerstest.Redis(t, brokers.RedisConfig{Own: true})
	env := []string{"STREAMERSON_TRANSPORT_URL=" + redis.URL}
	target := freeAddr(t)
	w := start(t, env, "worker", "--streams", "s", "--forward", "http://"+target)
	w.wrote("waiting until the target takes connections")
	inv := invocation{env: env}
	if r := inv.streamerson(t, "call", "s", "f", "--timeout", "2s"); r.code != exitCall+14 {
		t.Errorf("before the target is there: code %d, %s", r.code, r.stderr)
	}
	server := &http.Server{Addr: target, ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("here")) })}
	go func() { _ = server.ListenAndServe() }()
	defer server.Close()
	eventually(t, "calls are answered", func() bool { return inv.streamerson(t, "call", "s", "f").stdout == "here" })
}
