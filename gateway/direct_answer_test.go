package gateway

import (
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// answers are handlers that a user's Wrap may have.
var answers = map[string]http.HandlerFunc{
	"/nothing": func(http.ResponseWriter, *http.Request) {},
	"/text":    func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") },
	"/html":    func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html><b>hello") },
	"/untyped": func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		_, _ = io.WriteString(w, "<b>")
	},
	"/encoded": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "x")
		_, _ = io.WriteString(w, "<b>")
	},
	"/redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/text", http.StatusFound) },
	"/nocontent": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5")
		w.WriteHeader(204)
		_, _ = w.Write([]byte("x"))
	},
	"/unmodified": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "a/b")
		w.WriteHeader(304)
	},
	"/declared": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5")
		_, _ = io.WriteString(w, "hello")
	},
	"/close": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, "bye")
	},
	"/twice": func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(201)
		w.WriteHeader(500)
		w.Header().Set("X-Late", "1")
	},
	"/odd": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(799) },
	"/split": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-A", "a\r\nX-B: b")
		w.Header()["X C"] = []string{"c"}
	},
	"/lines": func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["X-A"] = []string{" 1 ", "2", ""}
		w.Header()["X-None"] = nil
	},
	"/dated": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Date", "never") },
	"/large": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "a/b")
		_, _ = w.Write(make([]byte, 3*directOut))
	},
	"/pieces": func(w http.ResponseWriter, _ *http.Request) {
		for range 100 {
			_, _ = w.Write(make([]byte, directCopy/3))
		}
	},
	"/largedeclared": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "200000")
		_, _ = w.Write(make([]byte, 100000))
		_, _ = w.Write(make([]byte, 100000))
	},
	"/flush": func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "one")
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, "two")
		if err := http.NewResponseController(w).Flush(); err != nil {
			panic(err)
		}
	},
	"/deadlines": func(w http.ResponseWriter, _ *http.Request) {
		rc := http.NewResponseController(w)
		if err := errors.Join(rc.SetReadDeadline(time.Time{}), rc.SetWriteDeadline(time.Now().Add(time.Minute))); err != nil {
			panic(err)
		}
	},
	"/body": func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		_, _ = w.Write(b)
		if err != nil {
			panic(err)
		}
	},
	"/half": func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 3)
		n, _ := io.ReadFull(r.Body, b)
		_, _ = w.Write(b[:n])
	},
	"/closed": func(w http.ResponseWriter, r *http.Request) {
		r.Body.Close()
		_, err := r.Body.Read(make([]byte, 1))
		_, _ = io.WriteString(w, err.Error())
	},
	"/panicked": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x"); panic("no") },
	"/aborted":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
}

// TestDirectAnswersAsNetHTTP: what a handler does with its writer and body comes to the same, but for what ServerConfig.Wrap
// names.
func TestDirectAnswersAsNetHTTP(t *testing.T) {
	start := func(only bool) (*Server, *fakeCaller) {
		f := &fakeCaller{}
		return startServer(t, newTestGateway(t, f, nil), func(c *ServerConfig) {
			c.OnlyNetHTTP = only
			c.Wrap = func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if h := answers[r.URL.Path]; h != nil {
						h(w, r)
						return
					}
					next.ServeHTTP(w, r)
				})
			}
		}), f
	}
	ours, oursCaller := start(false)
	theirs, theirsCaller := start(true)
	end := "GET /posts/end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	for path := range answers {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			pieces := []string{method + " " + path + " HTTP/1.1\r\nHost: a\r\n\r\n" + end}
			if method == "POST" {
				pieces = []string{method + " " + path + " HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345", "67890" + end}
			}
			if method == "HEAD" { // its answer can't be read without knowing the question
				pieces = []string{strings.Replace(pieces[0], "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1)}
				pieces[0] = strings.TrimSuffix(pieces[0], end)
				got, want := wireAnswer(t, ours, pieces[0]), wireAnswer(t, theirs, pieces[0])
				if !slices.Equal(got, want) {
					t.Errorf("%s %s: answered\n%q\nnet/http\n%q", method, path, got, want)
				}
				continue
			}
			got, want := talk(t, ours, oursCaller, pieces), talk(t, theirs, theirsCaller, pieces)
			if !slices.Equal(got.answers, want.answers) || len(got.published) != len(want.published) {
				t.Errorf("%s %s: answered\n%.1000q\nnet/http\n%.1000q", method, path, got.answers, want.answers)
			}
		}
	}
}

// wireAnswer is an answer's lines, in order of the alphabet.
func wireAnswer(t *testing.T, s *Server, request string) []string {
	t.Helper()
	lines := strings.Split(raw(t, s, request), "\r\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "Date: ") && l != "Date: never" {
			lines[i] = "Date: now"
		}
	}
	slices.Sort(lines)
	return lines
}

func dialServer(t *testing.T, s *Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// TestDirectTimeouts: a client that is too slow is cut off where it is slow, and not where it may take its time.
func TestDirectTimeouts(t *testing.T) {
	const short, long = 150 * time.Millisecond, 20 * time.Second
	whole := "GET /posts/1 HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, c := range map[string]struct {
		header, read, idle time.Duration
		send, want         string
	}{
		"no request":        {short, long, long, "", ""},
		"half a header":     {short, long, long, "GET /posts HTTP/1.1\r\nHo", ""},
		"second half":       {short, long, long, whole + "GET /posts HTTP/1.1\r\nHo", "HTTP/1.1 200"},
		"half a body":       {long, short, long, post + "Content-Length: 10\r\n\r\n12345", "HTTP/1.1 408"},
		"no second request": {long, long, short, whole, "HTTP/1.1 200"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, newTestGateway(t, &fakeCaller{}, nil), func(sc *ServerConfig) {
				sc.ReadHeaderTimeout, sc.ReadTimeout, sc.IdleTimeout = c.header, c.read, c.idle
			})
			began := time.Now()
			conn := dialServer(t, s)
			_, _ = io.WriteString(conn, c.send)
			b, err := io.ReadAll(conn)
			if err != nil || !strings.HasPrefix(string(b), c.want) || c.want == "" && len(b) > 0 {
				t.Errorf("%q, %v", b, err)
			}
			if took := time.Since(began); took < short {
				t.Errorf("cut off after %v", took)
			}
		})
	}
}

// TestDirectOutlivesItsTimeouts: none of them counts what went before, nor a handler's time.
func TestDirectOutlivesItsTimeouts(t *testing.T) {
	t.Parallel()
	s := startServer(t, newTestGateway(t, &fakeCaller{}, nil), func(sc *ServerConfig) {
		sc.ReadHeaderTimeout, sc.ReadTimeout, sc.IdleTimeout = 2*time.Second, 2*time.Second, 2*time.Second
		sc.Wrap = func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/posts/slow" {
					time.Sleep(3 * time.Second)
				}
				next.ServeHTTP(w, r)
			})
		}
	})
	conn := dialServer(t, s)
	buf := make([]byte, 4096)
	for i := range 8 {
		path := "/posts/quick"
		if i == 4 {
			path = "/posts/slow"
		}
		_, _ = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n")
		n, err := conn.Read(buf)
		if err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 200") {
			t.Fatalf("request %d: %q, %v", i, buf[:n], err)
		}
		time.Sleep(300 * time.Millisecond)
	}
}

// TestExpectContinue: a client that waits for leave to send its body gets it, also on a connection that was served directly.
func TestExpectContinue(t *testing.T) {
	f := &fakeCaller{}
	conn := dialServer(t, startServer(t, newTestGateway(t, f, nil), nil))
	buf := make([]byte, 4096)
	for _, step := range [][2]string{
		{post + "Content-Length: 2\r\n\r\nhi", "HTTP/1.1 200"},
		{post + "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n", "HTTP/1.1 100 Continue"},
		{"hello", "HTTP/1.1 200"},
		{post + "Content-Length: 2\r\n\r\nho", "HTTP/1.1 200"},
	} {
		_, _ = io.WriteString(conn, step[0])
		n, err := conn.Read(buf)
		if err != nil || !strings.HasPrefix(string(buf[:n]), step[1]) {
			t.Fatalf("%q was answered %q, %v", step[0], buf[:n], err)
		}
	}
	if got := f.published(); len(got) != 3 || string(got[1].Body) != "hello" {
		t.Errorf("published %+v", got)
	}
}
