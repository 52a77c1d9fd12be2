package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/internal/brokers/brokerstest"
)

// TestDev: gateway and echo in one process, whatever broker the file names, and routes that change while it runs.
func TestDev(t *testing.T) {
	dir, addr, admin := t.TempDir(), freeAddr(t), freeAddr(t)
	text := "transport: {url: 'redis://127.0.0.1:1/0', params: {tls_ca: x}}\nadmin: {listen: '" + admin + "'}\ngateway:\n  listen: " + addr + "\n  routes:\n    - {match: 'GET /things/:id', stream: things}\n"
	file := writeFile(t, dir, "dev.yaml", text)
	d := start(t, nil, "dev", "-c", file)
	eventually(t, "gateway and worker are ready", func() bool { status, _ := get(t, "http://"+admin+"/readyz"); return status == 200 })
	status, body := get(t, "http://"+addr+"/things/7?a=b")
	if status != 200 || !strings.Contains(body, `"url": "/things/7?a=b"`) {
		t.Errorf("status %d, %s", status, body)
	}
	if status, _ := get(t, "http://"+addr+"/others"); status != 404 {
		t.Errorf("a path without a route is %d", status)
	}
	if _, body := get(t, "http://"+admin+"/metrics"); !strings.Contains(body, `streamerson_http_requests_total{route="GET /things/{id}",status="200"} 1`) {
		t.Errorf("the request is not counted:\n%.3000s", body)
	}
	// Routes and their streams come and go with the file; a mistake changes nothing.
	writeFile(t, dir, "dev.yaml", text+"    - {match: GET /others, stream: things}\n")
	eventually(t, "the new route is served", func() bool { status, _ := get(t, "http://"+addr+"/others"); return status == 200 })
	writeFile(t, dir, "dev.yaml", text+"    - {match: GET /others, stream: '-'}\n")
	d.wrote("configuration not used, the one before stays in force")
	d.wrote(file + ":7:36: gateway.routes[1].stream:")
	if status, _ := get(t, "http://"+addr+"/others"); status != 200 {
		t.Errorf("after a bad file the old route is %d", status)
	}
	d.signal(syscall.SIGTERM)
	if code := d.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestDevWithoutFile is the first thing that a new user types.
func TestDevWithoutFile(t *testing.T) {
	addr := freeAddr(t)
	start(t, nil, "dev", "--listen", addr)
	eventually(t, "the example answers", func() bool {
		status, body := get(t, "http://"+addr+"/posts/7")
		return status == 200 && strings.Contains(body, `"id":7`)
	})
}

// TestDevIsJoined: a worker in another process serves a stream over the broker inside dev's.
func TestDevIsJoined(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("from outside")) }))
	defer server.Close()
	for _, broker := range []string{"nats", "nats+core"} {
		t.Run(broker, func(t *testing.T) {
			listen, port := freeAddr(t), strings.TrimPrefix(freeAddr(t), "127.0.0.1:")
			file := writeFile(t, t.TempDir(), "dev.yaml", "gateway: {routes: [{match: GET /in, stream: in}, {match: GET /out, stream: out}]}\n")
			d := start(t, nil, "dev", "-c", file, "--listen", listen, "--streams", "in", "--broker", broker, "--broker-port", port)
			d.wrote("these streams")
			eventually(t, "dev's own worker answers", func() bool { status, _ := get(t, "http://"+listen+"/in"); return status == 200 })
			if status, _ := get(t, "http://"+listen+"/out"); status != 503 {
				t.Errorf("without a worker: status %d", status)
			}
			url := broker + "://127.0.0.1:" + port
			d.wrote("transport=" + url)
			start(t, nil, "worker", "--transport", url, "--streams", "out", "--forward", server.URL)
			eventually(t, "the worker outside answers", func() bool { _, body := get(t, "http://"+listen+"/out"); return body == "from outside" })
			if r := streamerson(t, "dev", "--broker-port", port, "--listen", freeAddr(t)); r.code != exitUsage || !strings.Contains(r.stderr, "--broker-port "+port) {
				t.Errorf("a port that is taken: exit code %d, %s", r.code, r.stderr)
			}
		})
	}
}

// TestDevInMemory: without a port, and so without workers elsewhere.
func TestDevInMemory(t *testing.T) {
	addr := freeAddr(t)
	start(t, nil, "dev", "--broker", "mem", "--listen", addr)
	eventually(t, "the example answers", func() bool { status, _ := get(t, "http://"+addr+"/posts/7"); return status == 200 })
	if r := streamerson(t, "dev", "--broker", "mem", "--streams", "posts"); r.code == 0 || !strings.Contains(r.stderr, "no worker here serves") {
		t.Errorf("a stream that nobody serves: exit code %d, %s", r.code, r.stderr)
	}
}

func TestDevForwards(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("served " + r.URL.Path)) }))
	defer server.Close()
	addr := freeAddr(t)
	file := writeFile(t, t.TempDir(), "dev.yaml", "gateway: {routes: [{match: 'GET /a/{x}', stream: s}]}\n")
	start(t, nil, "dev", "-c", file, "--listen", addr, "--forward", server.URL)
	eventually(t, "the server's answer comes", func() bool { _, body := get(t, "http://"+addr+"/a/b"); return body == "served /a/b" })
}

// TestGatewayProcess: gateway and worker as two processes on Redis; SIGHUP and drain.
func TestGatewayProcess(t *testing.T) {
	redis := brokerstest.Redis(t, brokers.RedisConfig{Own: true})
	arrived, release := make(chan struct{}, 4), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			arrived <- struct{}{}
			<-release
		}
		_, _ = w.Write([]byte("hello"))
	}))
	defer server.Close()
	env := []string{"STREAMERSON_TRANSPORT_URL=" + redis.URL}
	dir, addr, admin := t.TempDir(), freeAddr(t), freeAddr(t)
	text := "gateway:\n  routes:\n    - {match: GET /slow, stream: s}\n"
	file := writeFile(t, dir, "g.yaml", text)
	w := start(t, env, "worker", "--streams", "s", "--forward", server.URL)
	g := start(t, env, "gateway", "-c", file, "--listen", addr, "--admin", admin)
	eventually(t, "the gateway is ready", func() bool { status, _ := get(t, "http://"+admin+"/readyz"); return status == 200 })

	writeFile(t, dir, "g.yaml", text+"    - {match: GET /fast, stream: s}\n")
	g.signal(syscall.SIGHUP)
	eventually(t, "the new route is served", func() bool { status, body := get(t, "http://"+addr+"/fast"); return status == 200 && body == "hello" })

	// Without a file there is nothing to read again, and the worker goes on.
	w.signal(syscall.SIGHUP)
	time.Sleep(50 * time.Millisecond)
	if status, body := get(t, "http://"+addr+"/fast"); status != 200 {
		t.Errorf("after SIGHUP to the worker: %d %s", status, body)
	}

	// A drain answers what is under way.
	type answer struct {
		status int
		body   string
	}
	answers := make(chan answer, 1)
	go func() {
		status, body := get(t, "http://"+addr+"/slow")
		answers <- answer{status, body}
	}()
	<-arrived
	g.signal(syscall.SIGTERM)
	g.wrote("gateway drains")
	eventually(t, "no new connection is taken", func() bool { status, _ := get(t, "http://"+addr+"/fast"); return status == 0 })
	close(release)
	if a := <-answers; a.status != 200 || a.body != "hello" {
		t.Errorf("the call under way was answered with %d %s", a.status, a.body)
	}
	if code := g.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestDemoIsGoneWithItsParent: when the demo is killed, its gateway and workers end by themselves.
func TestDemoIsGoneWithItsParent(t *testing.T) {
	addr := freeAddr(t)
	d := start(t, []string{"TMPDIR=" + t.TempDir()}, "demo", "--broker", "redis", "--listen", addr)
	d.wrote("Ctrl-C ends it.")
	pid := redisPid(t, d.out.String())
	d.signal(syscall.SIGKILL)
	d.exit()
	eventually(t, "the gateway is gone", func() bool { status, _ := get(t, "http://"+addr+"/posts/7"); return status == 0 })
	// Nothing tells a redis-server that its starter has gone: the test ends it.
	p, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	_ = p.Kill()
}

func redisPid(t *testing.T, out string) int {
	t.Helper()
	_, rest, ok := strings.Cut(out, "(process ")
	n := 0
	for _, c := range rest {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int(c-'0')
	}
	if !ok || n == 0 {
		t.Fatalf("no process id of the Redis in:\n%s", out)
	}
	return n
}
