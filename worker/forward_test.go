package worker_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/worker"
)

func forward(t *testing.T, url string, opts worker.ForwardOptions) rpc.Handler {
	t.Helper()
	h, err := worker.Forward(url, opts)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(path, query string) *rpc.Request {
	return &rpc.Request{Stream: "s", Function: "f", Header: rpc.Header{
		{Name: rpc.HeaderMethod, Value: "GET"}, {Name: rpc.HeaderPath, Value: path}, {Name: rpc.HeaderQuery, Value: query},
	}}
}

func TestForwardToAnotherProcess(t *testing.T) {
	p := startTarget(t, "127.0.0.1:0")
	h := forward(t, p.url, worker.ForwardOptions{MaxResponse: 1 << 20, Functions: map[string]string{"posts.list": "GET /posts?page=1"}})

	t.Run("redirects are answers", func(t *testing.T) {
		resp, err := h(t.Context(), get("/redirect", ""))
		if err != nil || resp.Status != 302 || resp.Header.Get("Location") != "http://192.0.2.1/elsewhere" {
			t.Errorf("got %+v, %v", resp, err)
		}
	})
	for name, path := range map[string]string{"endless": "/huge", "declared": "/declared"} {
		t.Run("a response over the limit: "+name, func(t *testing.T) {
			_, err := h(t.Context(), get(path, ""))
			if rpc.CodeOf(err).HTTPStatus() != 500 || !strings.Contains(err.Error(), "1048576") {
				t.Errorf("got %v", err)
			}
		})
	}
	for say, code := range map[string]rpc.Code{
		"":                       rpc.CodeUnavailable,
		"SSH-2.0-OpenSSH_9\r\n":  rpc.CodeInternal,
		"HTTP/1.1 200 OK\r\nA: ": rpc.CodeUnavailable,
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc":                    rpc.CodeUnavailable,
		"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 100<<10) + "\r\n\r\n": rpc.CodeInternal,
		"HTTP/1.1 101 Switching Protocols\r\n\r\n":                           rpc.CodeInternal,
	} {
		t.Run("a broken answer: "+say[:min(len(say), 20)], func(t *testing.T) {
			r := get("/raw", "")
			r.Header = r.Header.Set(rpc.HeaderQuery, "say="+strings.NewReplacer("\r", "%0d", "\n", "%0a", " ", "%20").Replace(say))
			resp, err := h(t.Context(), r)
			e, ok := errors.AsType[*rpc.Error](err)
			if !ok || e.Code != code || e.Origin != rpc.OriginRuntime || !strings.Contains(e.Error(), p.url) && e.Message != "" && !strings.Contains(e.Message, "limit") {
				t.Errorf("got %+v, %v", resp, err)
			}
			if ok && e.RetryAfter != 0 {
				t.Error("the request may have run: nobody should be told to repeat it")
			}
		})
	}
	t.Run("the deadline passes", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := h(ctx, get("/wait", "")); rpc.CodeOf(err) != rpc.CodeDeadlineExceeded {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the caller goes", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(50*time.Millisecond, func() { cancel(rpc.ErrCallerGone) })
		if _, err := h(ctx, get("/wait", "")); rpc.CodeOf(err) != rpc.CodeCanceled || !errors.Is(err, rpc.ErrCallerGone) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the target is told of both", func(t *testing.T) {
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			resp, err := h(t.Context(), get("/left", ""))
			if err == nil && string(resp.Body) == "2" {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("the target saw %+v, %v", resp, err)
			}
		}
	})
	t.Run("what the target sees", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		r := get("/x", "a=1")
		r.Header = append(r.Header, rpc.Field{Name: rpc.HeaderIdentity, Value: "ada"}, rpc.Field{Name: "X_Streamerson_Identity", Value: "eve"}, rpc.Field{Name: "Expect", Value: "100-continue"})
		r.Body, r.ContentType = []byte("body"), "text/plain"
		resp, err := h(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		body := string(resp.Body)
		for _, want := range []string{"GET\n/x\n", "X-Streamerson-Identity=ada\n", "X-Streamerson-Timeout-Ms=4", "Content-Type=text/plain", "\nbody\n", "\ns\nHTTP/1.1"} {
			if !strings.Contains(body, want) {
				t.Errorf("%q is missing in\n%s", want, body)
			}
		}
		for _, never := range []string{"eve", "User-Agent", "Expect", "Accept-Encoding", "X-Forwarded"} {
			if strings.Contains(body, never) {
				t.Errorf("%q stands in\n%s", never, body)
			}
		}
	})
	t.Run("a function's request line", func(t *testing.T) {
		resp, err := h(t.Context(), &rpc.Request{Stream: "s", Function: "posts.list"})
		if err != nil || !strings.HasPrefix(string(resp.Body), "GET\n/posts\n\n/posts\npage=1\n") {
			t.Errorf("got %s, %v", resp.Body, err)
		}
		resp, err = h(t.Context(), &rpc.Request{Stream: "s", Function: "other"})
		if err != nil || !strings.HasPrefix(string(resp.Body), "POST\n/other\n") {
			t.Errorf("got %s, %v", resp.Body, err)
		}
	})
	t.Run("a large body that the target doesn't read", func(t *testing.T) {
		r := get("/early", "")
		r.Header = r.Header.Set(rpc.HeaderMethod, "POST")
		r.Body = bytes.Repeat([]byte("x"), 8<<20)
		resp, err := h(t.Context(), r)
		// As with every proxy, the answer may be lost when the target hangs up first; it must not hang.
		if err == nil && resp.Status != 418 || err != nil && rpc.CodeOf(err) != rpc.CodeUnavailable {
			t.Errorf("got %+v, %v", resp, err)
		}
		clear(r.Body) // the race detector sees it if the transport still reads
	})
	t.Run("the caller goes while a large body is sent", func(t *testing.T) {
		for range 5 {
			r := get("/wait", "")
			r.Header = r.Header.Set(rpc.HeaderMethod, "POST")
			r.Body = bytes.Repeat([]byte("x"), 32<<20)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			if _, err := h(ctx, r); rpc.CodeOf(err) != rpc.CodeDeadlineExceeded {
				t.Errorf("got %v", err)
			}
			cancel()
			clear(r.Body) // the race detector sees it if the transport still reads
		}
	})
	t.Run("a path in front", func(t *testing.T) {
		h := forward(t, p.url+"/api%2Fv1/", worker.ForwardOptions{})
		resp, err := h(t.Context(), get("/a%20b", ""))
		if err != nil || !strings.Contains(string(resp.Body), "\n/api%2Fv1/a%20b\n") {
			t.Errorf("got %s, %v", resp.Body, err)
		}
	})
}

func TestForwardToATargetThatIsDown(t *testing.T) {
	addr := freeAddr(t)
	h := forward(t, "http://user:secret@"+addr, worker.ForwardOptions{DialWait: 100 * time.Millisecond})
	start := time.Now()
	_, err := h(t.Context(), get("/", ""))
	e, ok := errors.AsType[*rpc.Error](err)
	if !ok || e.Code != rpc.CodeUnavailable || e.RetryAfter != time.Second || !strings.Contains(e.Message, addr) || strings.Contains(e.Error(), "secret") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %v", took)
	}
}

// A restart of the target costs no request.
func TestForwardRidesOutARestart(t *testing.T) {
	p := startTarget(t, freeAddr(t))
	h := forward(t, p.url, worker.ForwardOptions{DialWait: 20 * time.Second})
	if _, err := h(t.Context(), get("/", "")); err != nil {
		t.Fatal(err)
	}
	p.kill()
	done := make(chan error, 1)
	go func() {
		_, err := h(t.Context(), get("/", ""))
		done <- err
	}()
	startTarget(t, strings.TrimPrefix(p.url, "http://"))
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("no answer after the restart")
	}
}

func TestBadTargetsAreNamed(t *testing.T) {
	for target, want := range map[string]string{
		"127.0.0.1:3000":            "can't be parsed",
		"localhost:3000":            "http://",
		"ftp://h/":                  "http://",
		"http://":                   "no host",
		"http://:3000":              "no host",
		"http://h/?a=1":             "query",
		"http://u:secret@h:port/":   "can't be parsed",
		"http://u:secret@h/x?y":     "query",
		"":                          "http://",
		"http://127.0.0.1:3000\nx:": "can't be parsed",
	} {
		_, err := worker.Forward(target, worker.ForwardOptions{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v, want %q", target, err, want)
		}
	}
	if _, err := worker.Forward("http://h", worker.ForwardOptions{HealthPath: "healthz"}); err == nil || !strings.Contains(err.Error(), "healthz") {
		t.Errorf("health path: %v", err)
	}
	for _, line := range []string{"", "GET", "GET posts", "GE T /posts", "GET /%zz"} {
		if _, err := worker.Forward("http://h", worker.ForwardOptions{Functions: map[string]string{"f": line}}); err == nil || !strings.Contains(err.Error(), `"f"`) {
			t.Errorf("request line %q: %v", line, err)
		}
	}
}

func TestWaitReady(t *testing.T) {
	addr := freeAddr(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := worker.WaitReady(ctx, "http://"+addr, worker.ForwardOptions{})
	if err == nil || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("down: %v", err)
	}
	ready := make(chan error, 1)
	go func() {
		ready <- worker.WaitReady(t.Context(), "http://"+addr, worker.ForwardOptions{HealthPath: "/healthz"})
	}()
	p := startTarget(t, addr)
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	res, err := http.Get(p.url + "/healthz") //nolint:noctx // a test's own process
	if err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("WaitReady returned before the target was healthy: %v, %v", res, err)
	}
	_ = res.Body.Close()
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := worker.WaitReady(short, p.url, worker.ForwardOptions{HealthPath: "/raw?say="}); err == nil {
		t.Error("a target that breaks off is ready")
	}
}

// Any HTTP server in any language: Python's, which speaks HTTP/1.0 and closes each connection.
func TestForwardToPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal("python3 is needed for this test: apt-get install python3")
	}
	dir := t.TempDir()
	content := bytes.Repeat([]byte("0123456789"), 20_000)
	if err := os.WriteFile(filepath.Join(dir, "a.bin"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	addr := freeAddr(t)
	_, port, _ := strings.Cut(addr, ":")
	cmd := exec.CommandContext(t.Context(), python, "-m", "http.server", port, "--bind", "127.0.0.1", "--directory", dir) //nolint:gosec // fixed arguments
	cmd.Stderr = io.Discard
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := worker.WaitReady(ctx, "http://"+addr, worker.ForwardOptions{HealthPath: "/a.bin"}); err != nil {
		t.Fatal(err)
	}
	h := forward(t, "http://"+addr, worker.ForwardOptions{})
	for range 3 {
		resp, err := h(ctx, get("/a.bin", ""))
		if err != nil || !bytes.Equal(resp.Body, content) {
			t.Fatalf("got %v", err)
		}
	}
	post := get("/a.bin", "")
	post.Header = post.Header.Set(rpc.HeaderMethod, "POST")
	post.Body = []byte("x")
	if resp, err := h(ctx, post); err != nil || resp.Status != http.StatusNotImplemented {
		t.Errorf("POST: %+v, %v", resp, err)
	}
	head := get("/a.bin", "")
	head.Header = head.Header.Set(rpc.HeaderMethod, "HEAD")
	if resp, err := h(ctx, head); err != nil || resp.Header.Get("Content-Length") != "200000" || len(resp.Body) != 0 {
		t.Errorf("HEAD: %+v, %v", resp, err)
	}
}
