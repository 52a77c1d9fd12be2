package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// outcome is what a client got and what was published, as far as it must not depend on who read the request.
type outcome struct {
	answers   []string
	published []string
	reset     bool // net/http closes after a 400 with bytes unread, so that the system may take answers back
}

// talk sends text in pieces and reads until the server closes.
func talk(t *testing.T, s *Server, f *fakeCaller, pieces []string) outcome {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	go func() {
		for i, p := range pieces {
			if i > 0 {
				time.Sleep(time.Millisecond) // so that they arrive apart, most times
			}
			if _, err := io.WriteString(c, p); err != nil {
				return // answered and closed already
			}
		}
	}()
	var o outcome
	for r := bufio.NewReader(c); ; {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
				t.Fatalf("no end after %q to %q", o.answers, pieces)
			}
			o.reset = errors.Is(err, syscall.ECONNRESET)
			break
		}
		body, err := io.ReadAll(resp.Body)
		if o.reset = errors.Is(err, syscall.ECONNRESET); o.reset {
			break
		}
		if err != nil {
			t.Fatalf("the answer to %q ends early: %v", pieces, err)
		}
		resp.Header.Del("Date")
		if resp.Header.Get("X-Request-Id") != "" {
			body = bytes.ReplaceAll(body, []byte(resp.Header.Get("X-Request-Id")), []byte("ID"))
			resp.Header.Set("X-Request-Id", "ID")
		}
		o.answers = append(o.answers, fmt.Sprint(resp.Status, resp.Header, resp.ContentLength, resp.TransferEncoding, resp.Close, string(body)))
	}
	for _, req := range f.published() {
		fields := make([]string, len(req.Header))
		for i, h := range req.Header {
			fields[i] = strings.ReplaceAll(h.Name+"="+h.Value, req.ID.String(), "ID")
		}
		slices.Sort(fields)
		o.published = append(o.published, fmt.Sprint(req.Function, req.ContentType, req.IdempotencyKey, fields, string(req.Body)))
	}
	f.mu.Lock()
	f.calls = nil
	f.mu.Unlock()
	return o
}

// randomRequest is mostly one that is served directly, and sometimes strange or wrong.
func randomRequest(rnd *rand.Rand) string {
	pick := func(from ...string) string { return from[rnd.IntN(len(from))] }
	rare := func(usual string, others ...string) string {
		if rnd.IntN(12) > 0 {
			return usual
		}
		return pick(others...)
	}
	eol := rare("\r\n", "\n", "\r\r\n")
	body := pick("", "x", "a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "GET /posts HTTP/1.1\r\nHost: b\r\n\r\n", strings.Repeat("y", rnd.IntN(900)))
	method := rare(pick("POST /posts", "PUT /files/"+pick("a", "a/b", "%41?x=%20", "a?b=c&d", "a?", "~x.y_z-")), "post /posts", "POST  /posts", "POST http://b/posts", "PUT //files/a", "PUT /files/../files/b", "PUT /files/a#b", "PUT /files/\x80", "PUT *", "P/T /files/a", "POST")
	fields := []string{rare("Host: a", "Host:a ", "host: b:80", "Host: a/b", "Host: ", "Host: a\r\nHost: b", "Host : a", "X-No-Host: a", "Host: \xc3\xa9")}
	length := fmt.Sprint(len(body))
	fields = append(fields, rare("Content-Length: "+length, "content-length:\t"+length+" ", "Content-Length: 0"+length, "Content-Length: +"+length, "Content-Length: "+length+"\r\nContent-Length: "+length,
		"Content-Length: "+length+"\r\nTransfer-Encoding: chunked", "Content_Length: 4", "Content-Length: -1", "Content-Length: 0x1", "Content-Length: 99999999999999999999", "Content-Length:", "Transfer-Encoding: chunked", "Transfer-Encoding: identity", "TRANSFER-ENCODING:gzip"))
	for range rnd.IntN(5) {
		fields = append(fields, rare(pick("Accept: */*", "accept-LANGUAGE: en", "X-A: 1", "X-A:  2\t", "Cookie: a=1; b=2", "X-Empty:", "User-Agent: t (x; y)", "Connection: keep-alive", "Content-Type: text/plain", "X_User_Id: root", "Pragma: no-cache", "Referer: http://x/?a:b", "Accept: a, b", "Idempotency-Key: k", "X-Request-Timeout: 5s"),
			"X-A : 1", "X A: 1", ": 1", "X-A 1", "X-A: a\x00b", "X-A: a\rb", "X-A: \xff", " folded: 1", "X-A: 1\r\n continued", "Connection: X-A", "Connection: upgrade\r\nUpgrade: websocket", "Te: trailers", "Trailer: X-B", "Connection: close", "X-Request-Timeout: no", "Content-Type: a\r\nContent-Type: b", "Expect: 100-continue", "Expect: nothing", "X-Streamerson-Identity: root", "\xef\xbb\xbfX: 1"))
	}
	rnd.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	if slices.ContainsFunc(fields, func(f string) bool { return strings.HasPrefix(f, "Expect: 100") }) {
		body = "" // an answer may say 100 Continue first, and what comes then is no matter of reading the header
	}
	return method + " " + rare("HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "HTTP/1.1 ", "http/1.1", "") + eol + strings.Join(fields, eol) + eol + eol + body
}

// TestDirectAgreesWithNetHTTP: whatever bytes come, in whatever pieces, the answers and what is published are the same as if
// net/http alone read them. It is what makes a second reader of HTTP safe.
func TestDirectAgreesWithNetHTTP(t *testing.T) {
	start := func(only bool) (*Server, *fakeCaller) {
		f := &fakeCaller{}
		return startServer(t, newTestGateway(t, f, nil), func(c *ServerConfig) {
			c.OnlyNetHTTP, c.ReadHeaderTimeout, c.ReadTimeout, c.IdleTimeout = only, 300*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond
		}), f
	}
	ours, oursCaller := start(false)
	theirs, theirsCaller := start(true)
	runs := 400
	if raceEnabled {
		runs = 100
	}
	for seed := range uint64(runs) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		var text strings.Builder
		for range 1 + rnd.IntN(4) {
			text.WriteString(randomRequest(rnd))
		}
		text.WriteString("GET /posts/end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		var pieces []string
		for s := text.String(); s != ""; {
			n := len(s)
			if rnd.IntN(3) == 0 {
				n = 1 + rnd.IntN(n)
			}
			pieces, s = append(pieces, s[:n]), s[n:]
		}
		got, want := talk(t, ours, oursCaller, pieces), talk(t, theirs, theirsCaller, pieces)
		if !got.reset && !want.reset && !slices.Equal(got.answers, want.answers) || !slices.Equal(got.published, want.published) {
			t.Fatalf("seed %d: %q\nanswers\n%q\nnet/http\n%q\npublished\n%q\nnet/http\n%q", seed, pieces, got.answers, want.answers, got.published, want.published)
		}
	}
}
