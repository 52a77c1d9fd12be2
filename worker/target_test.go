package worker_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// targetEnv makes this test binary an ordinary HTTP server at that address, so that a sidecar's target is another process.
const targetEnv = "WORKER_TEST_TARGET"

func TestMain(m *testing.M) {
	if addr := os.Getenv(targetEnv); addr != "" {
		serveTarget(addr)
		return
	}
	os.Exit(m.Run())
}

func serveTarget(addr string) {
	var left atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/", echo)
	mux.HandleFunc("/wait", func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		left.Add(1)
	})
	mux.HandleFunc("/left", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, left.Load()) })
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) {
		for range 1 << 10 {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/declared", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10000000")
		w.WriteHeader(http.StatusOK)
	})
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://192.0.2.1/elsewhere", http.StatusFound)
	})
	mux.HandleFunc("/early", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }) // reads no body
	mux.HandleFunc("/raw", func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, r.URL.Query().Get("say"))
		_ = conn.Close()
	})
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if time.Since(born) < 300*time.Millisecond {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	l, err := net.Listen("tcp", addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(l.Addr())
	_ = (&http.Server{Handler: mux, ReadHeaderTimeout: time.Second}).Serve(l)
}

var born = time.Now()

// target is such a process.
type target struct {
	cmd *exec.Cmd
	url string
}

// startTarget returns when the process listens; it ends with the test.
func startTarget(t *testing.T, addr string) *target {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // this binary
	cmd.Env = append(os.Environ(), targetEnv+"="+addr)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &target{cmd: cmd}
	t.Cleanup(p.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the target did not start: %v", err)
	}
	p.url = "http://" + line[:len(line)-1]
	return p
}

func (p *target) kill() {
	_ = p.cmd.Process.Kill()
	_, _ = p.cmd.Process.Wait()
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return "127.0.0.1:" + strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}
