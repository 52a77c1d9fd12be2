package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func startAdmin(t *testing.T, cfg AdminConfig) *Admin {
	t.Helper()
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	a, err := StartAdmin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := a.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return a
}

func TestAdmin(t *testing.T) {
	m := New(Config{Version: "v1.2"})
	var broken atomic.Bool
	a := startAdmin(t, AdminConfig{Gatherer: m.Registry(), Checks: map[string]Check{"lane": func() error {
		if broken.Load() {
			return errors.New("lost redis://user:hunter2@broker:6379")
		}
		return nil
	}}})
	base := "http://" + a.Addr()
	if code, body := get(t, base+"/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("/healthz: %d %q", code, body)
	}
	if code, body := get(t, base+"/metrics"); code != 200 || !strings.Contains(body, `version="v1.2"`) || !strings.Contains(body, "go_goroutines") || !strings.Contains(body, "process_cpu_seconds_total") {
		t.Errorf("/metrics: %d %.300s", code, body)
	}
	if code, body := get(t, base+"/readyz"); code != 200 || !strings.Contains(body, `"ready": true`) {
		t.Errorf("/readyz: %d %s", code, body)
	}
	broken.Store(true)
	a.AddCheck("worker", func() error { return nil })
	code, body := get(t, base+"/readyz")
	var r readiness
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		t.Fatal(err)
	}
	if code != 503 || r.Ready || len(r.Failed) != 1 || r.Failed[0] != "lane" || r.Checks["worker"] != "ok" || !strings.Contains(r.Checks["lane"], "lost") {
		t.Errorf("/readyz: %d %s", code, body)
	}
	if strings.Contains(body, "hunter2") {
		t.Errorf("/readyz shows a password: %s", body)
	}
	for _, path := range []string{"/debug/pprof/", "/", "/metrics/x"} {
		if code, _ := get(t, base+path); code != 404 {
			t.Errorf("%s: %d", path, code)
		}
	}
	// While it isn't ready it is still alive.
	if code, _ := get(t, base+"/healthz"); code != 200 {
		t.Errorf("/healthz: %d", code)
	}
}

func TestAdminPprof(t *testing.T) {
	a := startAdmin(t, AdminConfig{Pprof: true})
	for path, want := range map[string]int{"/debug/pprof/": 200, "/debug/pprof/goroutine?debug=1": 200, "/debug/pprof/cmdline": 200, "/metrics": 404} {
		if code, body := get(t, "http://"+a.Addr()+path); code != want {
			t.Errorf("%s: %d %.200s", path, code, body)
		}
	}
}

func TestAdminAddress(t *testing.T) {
	a := startAdmin(t, AdminConfig{})
	_, err := StartAdmin(AdminConfig{Addr: a.Addr()})
	if err == nil || !strings.Contains(err.Error(), a.Addr()) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a port in use: %v", err)
	}
	if _, err := StartAdmin(AdminConfig{Addr: "no port"}); err == nil || !strings.Contains(err.Error(), "no port") {
		t.Errorf("a bad address: %v", err)
	}
	// A second Close is harmless.
	if err := a.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
