package gateway

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/streamerson/streamerson/rpc"
)

// testCert writes a self-signed certificate for localhost.
func testCert(t *testing.T) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	pool = x509.NewCertPool()
	pool.AddCert(writeCert(t, certFile, keyFile, 1))
	return certFile, keyFile, pool
}

func writeCert(t *testing.T, certFile, keyFile string, serial int64) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	writeFile(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func writeFile(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestHTTP2(t *testing.T) {
	cert, key, pool := testCert(t)
	for name, c := range map[string]struct {
		tls  bool
		h2   bool
		want string
	}{"TLS with HTTP/2": {true, true, "HTTP/2.0"}, "TLS with HTTP/1.1": {true, false, "HTTP/1.1"}, "h2c": {false, true, "HTTP/2.0"}} {
		t.Run(name, func(t *testing.T) {
			f := &fakeCaller{}
			s := startServer(t, newTestGateway(t, f, nil), func(sc *ServerConfig) {
				if sc.H2C = true; c.tls {
					sc.CertFile, sc.KeyFile = cert, key
				}
			})
			tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, Protocols: new(http.Protocols)}
			defer tr.CloseIdleConnections()
			scheme, proto := "http", "http"
			switch {
			case c.tls:
				scheme, proto = "https", "https"
				tr.Protocols.SetHTTP2(c.h2)
				tr.Protocols.SetHTTP1(!c.h2)
			default:
				tr.Protocols.SetUnencryptedHTTP2(true)
			}
			for range 3 {
				resp, err := (&http.Client{Transport: tr}).Post(scheme+"://"+s.Addr().String()+"/posts", "text/plain", io.MultiReader(strings.NewReader("hi")))
				if err != nil {
					t.Fatal(err)
				}
				b, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.Proto != c.want || resp.StatusCode != 200 || string(b) != "echo:hi" {
					t.Errorf("%s %d %q", resp.Proto, resp.StatusCode, b)
				}
				if got := f.last(t).Header.Get("X-Forwarded-Proto"); got != proto {
					t.Errorf("X-Forwarded-Proto %q", got)
				}
			}
			resp, err := (&http.Client{Transport: tr}).Post(scheme+"://"+s.Addr().String()+"/posts", "text/plain", io.MultiReader(strings.NewReader(strings.Repeat("x", 2000))))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != 413 {
				t.Errorf("too large: %d", resp.StatusCode)
			}
		})
	}
}

func TestCertificateIsReadAgain(t *testing.T) {
	t.Parallel()
	cert, key, _ := testCert(t)
	f := &fakeCaller{}
	s := startServer(t, newTestGateway(t, f, nil), func(c *ServerConfig) { c.CertFile, c.KeyFile = cert, key })
	serial := func() int64 {
		c, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if n := serial(); n != 1 {
		t.Fatal(n)
	}
	writeFile(t, cert, []byte("half a file"))
	time.Sleep(watchedEvery + 50*time.Millisecond)
	if n := serial(); n != 1 {
		t.Errorf("a bad file took the certificate away: %d", n)
	}
	writeCert(t, cert, key, 2)
	for end := time.Now().Add(5 * time.Second); serial() != 2; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the new certificate is not used")
		}
	}
}

func TestServerErrors(t *testing.T) {
	g := newTestGateway(t, &fakeCaller{}, nil)
	cert, key, _ := testCert(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	taken := ln.Addr().String()
	missing := filepath.Join(t.TempDir(), "no.pem")
	for _, c := range []struct {
		cfg  ServerConfig
		want []string
	}{
		{ServerConfig{Addr: taken}, []string{taken, "--listen", "in use"}},
		{ServerConfig{Addr: taken, AddrName: "gateway.listen"}, []string{taken, "gateway.listen", "in use"}},
		{ServerConfig{Addr: taken, ReusePort: true}, []string{taken, "in use"}},
		{ServerConfig{Addr: "nowhere"}, []string{"nowhere", "--listen"}},
		{ServerConfig{Addr: "127.0.0.1:0", CertFile: missing, KeyFile: key}, []string{missing, "certificate file"}},
		{ServerConfig{Addr: "127.0.0.1:0", CertFile: cert, KeyFile: missing}, []string{missing, "key file"}},
		{ServerConfig{Addr: "127.0.0.1:0", CertFile: cert, KeyFile: cert}, []string{cert}},
		{ServerConfig{Addr: "127.0.0.1:0", CertFile: cert}, []string{"both"}},
		{ServerConfig{Addr: "127.0.0.1:0", ReadTimeout: -1}, []string{"negative"}},
	} {
		s, err := NewServer(g, c.cfg)
		if err == nil {
			s.Close()
			t.Errorf("%+v was taken", c.cfg)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v does not say %q", err, want)
			}
		}
	}
	if s, err := NewServer(g, ServerConfig{Addr: taken}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("%v, %v", s, err)
	}
}

// TestLongCallOutlivesTimeouts: the server's timeouts are for clients, not for workers.
func TestLongCallOutlivesTimeouts(t *testing.T) {
	t.Parallel()
	cert, key, pool := testCert(t)
	f := &fakeCaller{answer: func(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
		select {
		case <-time.After(700 * time.Millisecond):
			return &rpc.Response{Body: []byte("late")}, nil
		case <-ctx.Done():
			return nil, &rpc.Error{Code: rpc.CodeCanceled, Err: ctx.Err()}
		}
	}}
	g := newTestGateway(t, f, func(c *Config) { c.Timeout, c.WriteTimeout = 200*time.Millisecond, 200*time.Millisecond })
	// The fake ignores Request.Timeout, so the route may be given any.
	if err := g.SetRoutes([]Route{{Method: "POST", Path: "/long", Stream: "s", Timeout: time.Minute}}); err != nil {
		t.Fatal(err)
	}
	for _, h2 := range []bool{false, true} {
		s := startServer(t, g, func(c *ServerConfig) {
			c.ReadTimeout, c.CertFile, c.KeyFile = 200*time.Millisecond, cert, key
		})
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: h2}
		defer tr.CloseIdleConnections()
		for _, body := range []string{"", "body"} {
			resp, err := (&http.Client{Transport: tr}).Post("https://"+s.Addr().String()+"/long", "", strings.NewReader(body))
			if err != nil {
				t.Fatalf("HTTP/2 %v, body %q: %v", h2, body, err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != 200 || string(b) != "late" || err != nil {
				t.Errorf("HTTP/2 %v, body %q: %d %q %v", h2, body, resp.StatusCode, b, err)
			}
		}
	}
}

func TestSlowReaderIsCutOff(t *testing.T) {
	t.Parallel()
	f := &fakeCaller{answer: func(context.Context, *rpc.Request) (*rpc.Response, error) {
		return &rpc.Response{Body: make([]byte, 32<<20)}, nil
	}}
	obs := &recorder{}
	g := newTestGateway(t, f, func(c *Config) {
		c.Timeout, c.WriteTimeout, c.Observer = 100*time.Millisecond, 100*time.Millisecond, obs
	})
	s := startServer(t, g, func(c *ServerConfig) { c.ReadTimeout = 100 * time.Millisecond })
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET /posts HTTP/1.1\r\nHost: a\r\n\r\n")
	for end := time.Now().Add(5 * time.Second); obs.get() == ""; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a client that reads nothing holds its request for ever")
		}
	}
	if g.InFlight() != 0 {
		t.Error("its slot is still taken")
	}
}

func TestClientDisconnectCancelsCall(t *testing.T) {
	started, gone := make(chan struct{}), make(chan error, 1)
	f := &fakeCaller{answer: func(ctx context.Context, _ *rpc.Request) (*rpc.Response, error) {
		close(started)
		select {
		case <-ctx.Done():
			gone <- nil
		case <-time.After(5 * time.Second):
			gone <- errors.New("the call went on")
		}
		return nil, &rpc.Error{Code: rpc.CodeCanceled, Err: ctx.Err()}
	}}
	obs := &recorder{}
	s := startServer(t, newTestGateway(t, f, func(c *Config) { c.Observer = obs }), nil)
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, post+"Content-Length: 2\r\n\r\nhi")
	<-started
	c.Close()
	if err := <-gone; err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); obs.get() != "POST /posts 499"; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("observed %q", obs.get())
		}
	}
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}, 1), make(chan struct{})
	f := &fakeCaller{answer: func(_ context.Context, req *rpc.Request) (*rpc.Response, error) {
		if req.Function == "POST /posts" {
			entered <- struct{}{}
			<-leave
		}
		return &rpc.Response{Body: []byte("ok")}, nil
	}}
	g := newTestGateway(t, f, nil)
	s, err := NewServer(g, ServerConfig{Addr: "127.0.0.1:0", LameDuck: 300 * time.Millisecond, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, 10*time.Second) }()
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}
	slow := make(chan error, 1)
	go func() {
		resp, err := client.Post("http://"+s.Addr().String()+"/posts", "", bytes.NewReader([]byte("x")))
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != 200 {
				err = errors.New(resp.Status)
			}
		}
		slow <- err
	}()
	<-entered
	stop()
	for end := time.Now().Add(5 * time.Second); g.Ready() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("still ready in the shutdown")
		}
	}
	resp, err := client.Get("http://" + s.Addr().String() + "/posts") // the lame duck still serves
	if err != nil || resp.StatusCode != 200 || !resp.Close {
		t.Fatalf("while winding down: %+v, %v", resp, err)
	}
	resp.Body.Close()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) { // then nothing new is taken
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			break
		}
		c.Close()
		if time.Now().After(end) {
			t.Fatal("still listening after the lame duck's time")
		}
	}
	select {
	case err := <-ended:
		t.Fatalf("ended with a request under way: %v", err)
	default:
	}
	close(leave)
	if err := <-slow; err != nil {
		t.Errorf("the request under way: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// gated accepts nothing until its gate opens.
type gated struct {
	*net.TCPListener
	gate chan struct{}
}

func (l *gated) Accept() (net.Conn, error) {
	<-l.gate
	return l.TCPListener.Accept()
}

// TestQueueIsServedBeforeClosing: closing a listener would reset the connections that wait in its queue.
func TestQueueIsServedBeforeClosing(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	slow := &gated{ln.(*net.TCPListener), make(chan struct{})}
	s, err := NewServer(newTestGateway(t, &fakeCaller{}, nil), ServerConfig{Listener: slow, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	<-s.accept.started
	var conns []net.Conn
	for range 5 {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, "GET /posts HTTP/1.1\r\nHost: a\r\n\r\n")
		conns = append(conns, c)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(t.Context()) }()
	<-s.accept.stopping
	time.Sleep(20 * time.Millisecond) // the deadline that ends Accept is set right after
	close(slow.gate)
	for i, c := range conns {
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		b, err := io.ReadAll(c)
		if !strings.HasPrefix(string(b), "HTTP/1.1 200") || err != nil {
			t.Errorf("connection %d got %q, %v", i, b, err)
		}
	}
	if err := errors.Join(<-stopped, <-served); err != nil {
		t.Error(err)
	}
}

func TestShutdownIsBounded(t *testing.T) {
	entered := make(chan struct{})
	f := &fakeCaller{answer: func(ctx context.Context, _ *rpc.Request) (*rpc.Response, error) {
		close(entered)
		<-ctx.Done()
		return nil, &rpc.Error{Code: rpc.CodeCanceled, Err: ctx.Err()}
	}}
	s, err := NewServer(newTestGateway(t, f, nil), ServerConfig{Addr: "127.0.0.1:0", Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET /posts HTTP/1.1\r\nHost: a\r\n\r\n")
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 requests were cut off") {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// TestRollingRestart: two gateways share an address and are replaced in turn, while clients that use each connection once
// and clients that keep theirs go on. POST is not retried by net/http, so each failure shows.
func TestRollingRestart(t *testing.T) {
	f := &fakeCaller{answer: func(context.Context, *rpc.Request) (*rpc.Response, error) { return &rpc.Response{}, nil }}
	start := func(addr string) (*Server, chan error) {
		s, err := NewServer(newTestGateway(t, f, nil), ServerConfig{Addr: addr, ReusePort: true, LameDuck: 150 * time.Millisecond, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.Serve() }()
		return s, served
	}
	a, aServed := start("127.0.0.1:0")
	addr := a.Addr().String()
	b, bServed := start(addr)
	stop := make(chan struct{})
	var ok, failed atomic.Int64
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			tr := &http.Transport{DisableKeepAlives: i%2 == 0}
			defer tr.CloseIdleConnections()
			c := &http.Client{Transport: tr, Timeout: 10 * time.Second}
			for {
				select {
				case <-stop:
					return
				default:
				}
				var body io.Reader = strings.NewReader("hello")
				if i%4 == 0 {
					body = io.LimitReader(body, 5) // chunked
				}
				resp, err := c.Post("http://"+addr+"/posts", "text/plain", body)
				if err != nil {
					failed.Add(1)
					t.Errorf("client %d after %d requests: %v", i, ok.Load(), err)
					return
				}
				if resp.StatusCode != 200 {
					t.Errorf("status %d", resp.StatusCode)
				}
				resp.Body.Close()
				ok.Add(1)
			}
		})
	}
	replace := func(s *Server, served chan error) (*Server, chan error) {
		if err := s.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		return start(addr)
	}
	for range 3 {
		a, aServed = replace(a, aServed)
		b, bServed = replace(b, bServed)
	}
	close(stop)
	clients.Wait()
	for _, s := range []*Server{a, b} {
		_ = s.Close()
	}
	<-aServed
	<-bServed
	t.Logf("%d requests, %d failed", ok.Load(), failed.Load())
}
