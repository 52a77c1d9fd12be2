package role

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamerson/streamerson/bench/load"
)

// TestMain makes the test's own program one that serves roles.
func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], []string{"role"}) {
		err := Serve(context.Background(), map[string]Starter{
			"echo": func(context.Context, Spec) (*Part, error) {
				return &Part{Addr: "here", Caller: echo{}, Counters: func() map[string]int64 { return map[string]int64{"x": 3} }}, nil
			},
			"fails": func(context.Context, Spec) (*Part, error) { return nil, errors.New("no luck today") },
		}, os.Stdin, os.Stdout)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) == 3 && os.Args[1] == "serve" {
		fmt.Fprintln(os.Stderr, http.ListenAndServe(os.Args[2], http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			for start := time.Now(); time.Since(start) < 200*time.Millisecond; { // the system counts in hundredths of a second
			}
		})))
		os.Exit(1)
	}
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

type echo struct{}

func (echo) Call(_ context.Context, _, body []byte) ([]byte, error) { return body, nil }

func echoes(t *testing.T) *Program {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &Program{File: exe, Args: []string{"role"}, Stderr: os.Stderr}
}

func TestARoleMakesCallsAndTellsWhatItUsed(t *testing.T) {
	p, err := echoes(t).Start(t.Context(), "echo", Spec{Role: "echo"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Run(t.Context(), load.Load{Calls: 500, InFlight: 8, Size: 32})
	if err != nil || r.OK != 500 || r.HDR == "" || p.Addr() != "here" {
		t.Errorf("got %+v, %v", r, err)
	}
	u, err := p.Collect(t.Context())
	if err != nil || u.CPU <= 0 || u.Counters["x"] != 3 || u.Allocs == nil || u.Allocs.Objects == 0 || u.Heap == 0 {
		t.Errorf("got %+v, %v", u, err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}

func TestARoleThatCannotStartSaysWhy(t *testing.T) {
	var log bytes.Buffer
	s := echoes(t)
	s.Stderr = &log
	if _, err := s.Start(t.Context(), "p", Spec{Role: "fails"}); err == nil || !strings.Contains(err.Error(), "no luck today") {
		t.Errorf("got %v", err)
	}
}

// TestServersAreMeasuredFromOutside: nothing but a command line and an address is needed of nginx and its like.
func TestServersAreMeasuredFromOutside(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	closed := false
	s := Server{File: echoes(t).File, Args: []string{"serve", addr}, Dir: t.TempDir(), Addr: "http://" + addr, Close: func() error { closed = true; return nil }}
	p, err := s.Start(t.Context(), "server")
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.Get("http://" + addr); err != nil {
		t.Fatal(err)
	} else {
		_ = resp.Body.Close()
	}
	if u, err := p.Usage(t.Context()); err != nil || u.CPU <= 0 || p.Addr() != "http://"+addr {
		t.Errorf("usage %+v, %v", u, err)
	}
	if err := p.Stop(); err != nil || !closed {
		t.Errorf("stop: %v, closed %v", err, closed)
	}
	s.Args = []string{"serve", "no-address"}
	if _, err := s.Start(t.Context(), "server"); err == nil || !strings.Contains(err.Error(), "ended before it served") {
		t.Errorf("got %v", err)
	}
}

func TestARoleEndsWithItsParent(t *testing.T) {
	p, err := echoes(t).Start(t.Context(), "server", Spec{Role: "echo"})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.in.Close(); err != nil { // all that a dead parent leaves
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		p.kill()
		t.Error("the role process outlives its parent")
	}
}

func TestAnUnknownRoleIsNamed(t *testing.T) {
	var log bytes.Buffer
	s := echoes(t)
	s.Stderr = &log
	if _, err := s.Start(t.Context(), "p", Spec{Role: "nonsense"}); err == nil {
		t.Error("no error")
	}
	if !strings.Contains(log.String(), `no role "nonsense"`) {
		t.Errorf("the log says %q", log.String())
	}
}
