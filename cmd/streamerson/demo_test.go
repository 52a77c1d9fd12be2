package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/streamerson/streamerson/config"
)

// TestDemoCoversEveryRoute: a route that is added to the example gets its request in the demo.
func TestDemoCoversEveryRoute(t *testing.T) {
	cfg, err := loadPosts("", config.Options{Environ: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	mux := http.NewServeMux()
	for _, r := range cfg.Gateway.Routes {
		mux.HandleFunc(r.Match, func(http.ResponseWriter, *http.Request) { asked[r.Match] = true })
	}
	for _, r := range demoRequests(nil) {
		mux.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(r.method, r.path, nil))
	}
	for _, r := range cfg.Gateway.Routes {
		if !asked[r.Match] {
			t.Errorf("no request of the demo asks %s", r.Match)
		}
	}
}

// TestDemo: `make run ONCE=1` with each BROKER.
func TestDemo(t *testing.T) {
	for _, broker := range []string{"mem", "nats", "nats+core", "redis", "kafka"} {
		t.Run(broker, func(t *testing.T) {
			r := streamerson(t, "demo", "--once", "--broker", broker, "--listen", freeAddr(t))
			if r.code != 0 {
				t.Fatalf("exit code %d\n%s\n%s", r.code, r.stdout, r.stderr)
			}
			for _, want := range []string{"GET /posts/7\n    200 OK", "POST /posts/image?width=64", "image/png", "201 Created", "queue ", "handler "} {
				if !strings.Contains(r.stdout, want) {
					t.Errorf("the output has no %q:\n%s", want, r.stdout)
				}
			}
			about := map[string]string{
				"mem": "in its memory", "nats": "at nats://127.0.0.1:", "nats+core": "at nats+core://127.0.0.1:", "redis": "Redis at 127.0.0.1:", "kafka": "Kafka at 127.0.0.1:",
			}[broker]
			if !strings.Contains(r.stdout, about) {
				t.Errorf("the output does not say what was started:\n%s", r.stdout)
			}
		})
	}
}

// TestDemoFailsWhenAnAnswerIsWrong: the exit code is what CI goes by.
func TestDemoFailsWhenAnAnswerIsWrong(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusCreated) // right for one of the two only
		}
	}))
	defer server.Close()
	var out strings.Builder
	bad, err := sendDemoRequests(t.Context(), &out, server.URL)
	if bad != 1 || err != nil || strings.Count(out.String(), "NOT AS IT SHOULD BE: 200 was expected") != 1 {
		t.Errorf("%d bad, %v:\n%s", bad, err, out.String())
	}
}

// TestDemoStaysUpUntilSignal: without --once the gateway answers until Ctrl-C, and nothing is left behind.
func TestDemoStaysUpUntilSignal(t *testing.T) {
	addr := freeAddr(t)
	d := start(t, nil, "demo", "--broker", "redis", "--listen", addr)
	d.wrote("Ctrl-C ends it.")
	if status, body := get(t, "http://"+addr+"/posts/7"); status != 200 || !strings.Contains(body, `"id":7`) {
		t.Errorf("status %d, %s", status, body)
	}
	d.signal(syscall.SIGINT)
	if code := d.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if status, _ := get(t, "http://"+addr+"/posts/7"); status != 0 {
		t.Errorf("the gateway still answers with %d", status)
	}
}
