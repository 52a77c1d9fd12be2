package gateway

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamerson/streamerson/rpc"
)

const post = "POST /posts HTTP/1.1\r\nHost: a\r\n"

// TestBadInput sends each over a socket: it must be refused with its status, the connection closed, and nothing published.
func TestBadInput(t *testing.T) {
	smuggled := "GET /posts/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, c := range []struct {
		name   string
		send   []string
		status int
		text   string // in the answer's body
	}{
		{"unknown route", []string{"GET /nope HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"}, 404, "no route"},
		{"wrong method", []string{"PATCH /posts HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"}, 405, "Allow"},
		{"declared body too large", []string{post + "Content-Length: 1025\r\n\r\n"}, 413, "limit of 1024 bytes"},
		{"huge declared length", []string{post + "Content-Length: 9223372036854775807\r\n\r\n"}, 413, "limit of 1024 bytes"},
		{"chunked body too large", []string{post + "Transfer-Encoding: chunked\r\n\r\n800\r\n" + strings.Repeat("x", 2048) + "\r\n0\r\n\r\n"}, 413, "limit of 1024 bytes"},
		{"length and chunks", []string{post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled}, 400, "both Content-Length and Transfer-Encoding"},
		{"chunks and length", []string{post + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + smuggled}, 400, "both Content-Length and Transfer-Encoding"},
		{"length and chunks in lower case", []string{post + "content-length:5\r\ntransfer-ENCODING:chunked\r\n\r\n0\r\n\r\n" + smuggled}, 400, "both"},
		{"length and chunks in small pieces", []string{post + "Content-Le", "ngth: 5\r", "\nTransfer-Enc", "oding: chunked\r\n\r", "\n0\r\n\r\n"}, 400, "both"},
		{"length and chunks after bare line feeds", []string{"POST /posts HTTP/1.1\nHost: a\nContent-Length: 5\nTransfer-Encoding: chunked\n\n0\r\n\r\n"}, 400, "both"},
		{"chunks with HTTP/1.0", []string{"POST /posts HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n" + smuggled}, 400, "HTTP/1.0"},
		{"chunks without length with HTTP/1.0", []string{"POST /posts HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n" + smuggled}, 400, "HTTP/1.0"},
		{"two lengths", []string{post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhelloX"}, 400, ""},
		{"length with a sign", []string{post + "Content-Length: +5\r\n\r\nhello"}, 400, ""},
		{"other coding", []string{post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"}, 501, ""},
		{"chunked twice", []string{post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}, 501, ""},
		{"name with a blank", []string{post + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"}, 400, ""},
		{"malformed chunk size", []string{post + "Transfer-Encoding: chunked\r\n\r\nZZ\r\nhello\r\n0\r\n\r\n"}, 400, "malformed"},
		{"malformed chunk end", []string{post + "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n"}, 400, "malformed"},
		{"malformed trailer", []string{post + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nno colon\r\n\r\n"}, 400, "malformed"},
		{"too large header", []string{"GET /posts HTTP/1.1\r\nHost: a\r\nX-Big: " + strings.Repeat("x", 80<<10) + "\r\n\r\n"}, 431, ""},
		{"too many fields", []string{"GET /posts HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + strings.Repeat("X-A: 1\r\n", 256) + "\r\n"}, 431, "256 fields"},
		{"header just over an envelope's", []string{"GET /posts HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Big: " + strings.Repeat("x", 64<<10) + "\r\n\r\n"}, 431, "too large"},
		{"slow body", []string{post + "Content-Length: 10\r\n\r\nhal"}, 408, "in time"},
		{"slow header", []string{"GET /posts HTTP/1.1\r\nHos"}, 0, ""},
		{"no host", []string{"GET /posts HTTP/1.1\r\n\r\n"}, 400, ""},
		{"not HTTP", []string{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"}, 400, ""},
		{"long idempotency key", []string{post + "Content-Length: 0\r\nConnection: close\r\nIdempotency-Key: " + strings.Repeat("k", 256) + "\r\n\r\n"}, 400, "Idempotency-Key"},
		{"two content types", []string{post + "Content-Length: 0\r\nConnection: close\r\nContent-Type: a/b\r\nContent-Type: c/d\r\n\r\n"}, 400, "Content-Type"},
		{"HTTP/2's preface, then length and chunks", []string{"PRI * HTTP/2.0\r\n\r\n" + post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}, 400, ""},
		{"request for *", []string{"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"}, 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := &fakeCaller{}
			s := startServer(t, newTestGateway(t, f, nil), func(c *ServerConfig) {
				c.ReadHeaderTimeout, c.ReadTimeout = 300*time.Millisecond, 500*time.Millisecond
			})
			answer := raw(t, s, c.send...)
			f.none(t)
			if c.status == 0 {
				if answer != "" && !strings.HasPrefix(answer, "HTTP/1.1 4") {
					t.Errorf("answered %q", answer)
				}
				return
			}
			resp, body := readAnswer(t, answer)
			if resp.StatusCode != c.status || !strings.Contains(answer, c.text) || strings.Count(answer, "\r\n\r\n") != 1 {
				t.Fatalf("answered %q", answer)
			}
			if c.text != "" && c.status != 405 {
				if d := problemOf(t, []byte(body)); d.Status != c.status {
					t.Errorf("problem %+v", d)
				}
			}
		})
	}
}

// TestChunkedClosesConnection: what follows a chunked request on its connection is never read, good as the request was.
func TestChunkedClosesConnection(t *testing.T) {
	f := &fakeCaller{}
	s := startServer(t, newTestGateway(t, f, nil), nil)
	answer := raw(t, s, post+"Transfer-Encoding: chunked\r\nTrailer: X-User-Id, X-Ok\r\n\r\n5\r\nhello\r\n0\r\nX-User-Id: root\r\nX-Ok: 1\r\n\r\nGET /posts/2 HTTP/1.1\r\nHost: a\r\n\r\n")
	resp, body := readAnswer(t, answer)
	if resp.StatusCode != 200 || body != "echo:hello" || !resp.Close || strings.Count(answer, "HTTP/1.1") != 1 {
		t.Fatalf("answered %q", answer)
	}
	req := f.last(t)
	if fmt.Sprint(req.Header) != fmt.Sprint(rpc.Header{
		{Name: rpc.HeaderMethod, Value: "POST"}, {Name: rpc.HeaderPath, Value: "/posts"}, {Name: rpc.HeaderRequestID, Value: req.ID.String()},
		{Name: "X-Request-Id", Value: req.ID.String()}, {Name: "Host", Value: "a"}, {Name: "X-Forwarded-For", Value: "127.0.0.1"}, {Name: "X-Forwarded-Proto", Value: "http"},
	}) {
		t.Errorf("a trailer got through: %v", req.Header)
	}
}

// TestPipelining: requests with declared lengths share a connection, and a body that looks like a header is a body.
func TestPipelining(t *testing.T) {
	f := &fakeCaller{}
	s := startServer(t, newTestGateway(t, f, nil), nil)
	tricky := "a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
	one := fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", post, len(tricky), tricky)
	answer := raw(t, s, one+one+"GET /posts/1 HTTP/1.1\r\nHost: a\r\n\r\n"+post+"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")
	if n := strings.Count(answer, "HTTP/1.1 200 OK"); n != 4 {
		t.Fatalf("%d answers: %q", n, answer)
	}
	if got := f.published(); len(got) != 4 || string(got[1].Body) != tricky || string(got[3].Body) != "x" {
		t.Errorf("published %+v", got)
	}
}

func TestGzipBombIsNotInflated(t *testing.T) {
	var bomb bytes.Buffer
	zw := gzip.NewWriter(&bomb)
	for range 10 {
		_, _ = zw.Write(make([]byte, 1<<20))
	}
	_ = zw.Close()
	f := &fakeCaller{}
	g := newTestGateway(t, f, nil)
	w := do(g, "PUT", "/files/bomb", bomb.String(), "Content-Encoding", "gzip")
	req := f.last(t)
	if w.Code != 200 || !bytes.Equal(req.Body, bomb.Bytes()) || req.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("answered %d; %d bytes published of %d", w.Code, len(req.Body), bomb.Len())
	}
}

func TestSpoofedIdentity(t *testing.T) {
	spellings := []string{
		"X-User-Id", "x-user-id", "X-USER-ID", "X_User_Id", "x_user_id", "X.User.Id", "X-User_Id", "X~User~Id", "X+User+Id", "x-UsEr-iD",
		"X-Streamerson-Identity", "x_streamerson_identity", "X.Streamerson.Identity", "X-Streamerson-Param-Id", "X-Streamerson_Path", "X-Streamerson-Anything",
		"X-Forwarded-User", "X_Forwarded_User", "X-Auth-Request-Email", "Remote-User", "REMOTE_USER", "X-Acme-Who", "x_acme.who",
		"X-Forwarded-For", "X_Forwarded_For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Forwarded", "X_Real_IP",
		"X_Request_Id", "Idempotency_Key", "Content_Type", "Transfer_Encoding", "Content_Length", "Traceparent_", "X-Original-Url", "Proxy",
	}
	allowed := []string{
		rpc.HeaderMethod, rpc.HeaderPath, rpc.HeaderRequestID, rpc.HeaderParam + "id", rpc.HeaderIdentity, "X-Request-Id", "Host", "X-Forwarded-For", "X-Forwarded-Proto", "Accept", "Traceparent_",
	}
	f := &fakeCaller{}
	g := newTestGateway(t, f, func(c *Config) {
		c.Auth = nobody{}
		c.IdentityHeaders = []string{"X-Acme-Who"}
	})
	s := startServer(t, g, nil)
	for _, name := range spellings {
		answer := raw(t, s, "GET /posts/1 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nConnection: close\r\n"+name+": evil\r\n\r\n")
		if !strings.HasPrefix(answer, "HTTP/1.1 200") {
			t.Fatalf("%s: %q", name, answer)
		}
		req := f.last(t)
		for _, field := range req.Header {
			if !slices.Contains(allowed, field.Name) || field.Value == "evil" && field.Name != "Traceparent_" {
				t.Errorf("%s came through as %v", name, field)
			}
		}
		if req.Header.Get(rpc.HeaderIdentity) != "nobody" || req.IdempotencyKey != "" || req.ContentType != "" {
			t.Errorf("%s: %+v", name, req)
		}
	}
	for _, name := range []string{"X-User-Id ", " X-User-Id", "X User Id", "X-Üser-Id", "X-User-Id\t", "X-User\x00Id"} {
		answer := raw(t, s, "GET /posts/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"+name+": evil\r\n\r\n")
		if strings.HasPrefix(name, " ") { // a continued line: a part of the field before
			for _, req := range f.published() {
				if strings.Contains(fmt.Sprint(req.Header), "evil") {
					t.Errorf("%q came through: %v", name, req.Header)
				}
			}
			continue
		}
		if !strings.HasPrefix(answer, "HTTP/1.1 400") {
			t.Errorf("%q: %q", name, answer)
		}
	}
}

type nobody struct{}

func (nobody) Authenticate(*http.Request) (string, error) { return "nobody", nil }

func TestTrustedProxy(t *testing.T) {
	f := &fakeCaller{}
	g := newTestGateway(t, f, func(c *Config) { c.TrustedProxies = []string{"192.0.2.0/24"} })
	do(g, "GET", "/posts/1", "", "X-Forwarded-For", "203.0.113.9", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "shop.example", "X_forwarded_for", "6.6.6.6", "X-Forwarded-User", "root", "X-Real-Ip", "203.0.113.9")
	h := f.last(t).Header
	for name, want := range map[string]string{
		"X-Forwarded-For": "203.0.113.9, 192.0.2.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example", "X-Forwarded-User": "", "X_forwarded_for": "", "X-Real-Ip": "203.0.113.9",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	g = newTestGateway(t, f, func(c *Config) { c.TrustedProxies = []string{"192.0.2.7"} })
	do(g, "GET", "/posts/1", "", "X-Forwarded-For", "203.0.113.9", "X-Forwarded-Proto", "https")
	if h := f.last(t).Header; h.Get("X-Forwarded-For") != "192.0.2.1" || h.Get("X-Forwarded-Proto") != "http" {
		t.Errorf("an untrusted peer was believed: %v", h)
	}
}

func TestBodiesComeThroughWhole(t *testing.T) {
	f := &fakeCaller{}
	s := startServer(t, newTestGateway(t, f, nil), nil)
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	for _, size := range []int{0, 1, firstRead - 1, firstRead, firstRead + 1, 3*firstRead + 7, 1 << 20, 8 << 20} {
		body := bytes.Repeat([]byte("0123456789abcdef!"), size/17+1)[:size]
		for _, chunked := range []bool{false, true} {
			var r io.Reader = bytes.NewReader(body)
			if chunked {
				r = io.MultiReader(r) // hides the length
			}
			req, _ := http.NewRequest("PUT", "http://"+s.Addr().String()+"/files/x", r)
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != 200 || !bytes.Equal(got[5:], body) || !bytes.Equal(f.last(t).Body, body) {
				t.Errorf("%d bytes, chunked %v: status %d, %d back, %v", size, chunked, resp.StatusCode, len(got), err)
			}
		}
	}
	req, _ := http.NewRequest("PUT", "http://"+s.Addr().String()+"/files/x", bytes.NewReader(make([]byte, 8<<20+1)))
	if resp, err := c.Do(req); err == nil { // the client may see the reset instead
		if resp.StatusCode != 413 {
			t.Errorf("one byte more: %d", resp.StatusCode)
		}
		resp.Body.Close()
	}
	f.none(t)
}

func TestFramingOverTLS(t *testing.T) {
	f := &fakeCaller{}
	cert, key, pool := testCert(t)
	s := startServer(t, newTestGateway(t, f, nil), func(c *ServerConfig) { c.CertFile, c.KeyFile = cert, key })
	c, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.WriteString(c, post+"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	b, _ := io.ReadAll(c)
	if !strings.HasPrefix(string(b), "HTTP/1.1 400") || !strings.Contains(string(b), "both") {
		t.Errorf("answered %q", b)
	}
	f.none(t)
}
