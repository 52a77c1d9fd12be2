package parts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/streamerson/streamerson/bench/role"
)

// echoPath is what HTTP clients post to, at servers, proxies and gateways alike.
const echoPath = "/echo"

// headerTimeout is set on every server here because a real one has it; it costs all legs the same. It is longer than a whole run,
// because it also ends connections that a client dialled in a burst and has not used yet: with 10 s, a POST met such an end now
// and then, and net/http doesn't send a POST again.
const headerTimeout = 30 * time.Minute

// idleConns keeps a connection for each call in flight: with net/http's default of 2 a host, most calls would dial.
const idleConns = 1024

// echoHTTP is the service that HTTP legs call: ordinary code, which reads the body whole and answers it.
func echoHTTP(w http.ResponseWriter, r *http.Request) { echo(w, r, nil) }

func echo(w http.ResponseWriter, r *http.Request, work func(body []byte)) {
	body := make([]byte, max(0, r.ContentLength))
	var err error
	if r.ContentLength >= 0 {
		_, err = io.ReadFull(r.Body, body)
	} else {
		body, err = io.ReadAll(r.Body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if work != nil {
		work(body)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

// echoHandler is echoHTTP, which works as bodies ask it if the spec has kinds.
func echoHandler(spec role.Spec) http.Handler {
	if len(spec.Kinds) == 0 {
		return http.HandlerFunc(echoHTTP)
	}
	turnTime() // before the first request, which would wait for it
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { echo(w, r, work) })
}

func serveHTTP(h http.Handler) (*role.Part, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout}
	go func() { _ = srv.Serve(ln) }()
	return &role.Part{Addr: "http://" + ln.Addr().String(), Close: func(context.Context) error { return srv.Close() }}, nil
}

func startHTTPServer(_ context.Context, spec role.Spec) (*role.Part, error) {
	mux, h := http.NewServeMux(), echoHandler(spec)
	for _, path := range pathsOf(spec).names {
		mux.Handle("POST "+path, h)
	}
	return serveHTTP(mux)
}

// startHTTPProxy is the world before streams: a gateway that passes each request on to an HTTP server. It is httputil's
// reverse proxy as it comes, but for its connections: kept for all calls in flight, without compression.
func startHTTPProxy(_ context.Context, spec role.Spec) (*role.Part, error) {
	return startProxy(spec, nil)
}

// startHTTPProxyPooled has pooled copy buffers besides. Few who use the package set them; without them it makes a buffer of
// 32 KiB for each response, which is a third of its CPU time here.
func startHTTPProxyPooled(_ context.Context, spec role.Spec) (*role.Part, error) {
	return startProxy(spec, &copyBuffers{})
}

func startProxy(spec role.Spec, buffers httputil.BufferPool) (*role.Part, error) {
	target, err := url.Parse(spec.URL)
	if err != nil {
		return nil, err
	}
	return serveHTTP(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: keepAlive(), BufferPool: buffers,
	})
}

func keepAlive() *http.Transport {
	return &http.Transport{MaxIdleConns: idleConns, MaxIdleConnsPerHost: idleConns, DisableCompression: true}
}

// copyBuffers is a httputil.BufferPool.
type copyBuffers struct{ pool sync.Pool }

func (c *copyBuffers) Get() []byte {
	if b, ok := c.pool.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 32<<10)
}

func (c *copyBuffers) Put(b []byte) { c.pool.Put(&b) }

// httpCaller posts to an HTTP server over kept connections.
type httpCaller struct {
	client *http.Client
	base   string
	paths  targets
}

func startHTTPClient(_ context.Context, spec role.Spec) (*role.Part, error) {
	tr := keepAlive()
	c := &httpCaller{client: &http.Client{Transport: tr}, base: spec.URL, paths: pathsOf(spec)}
	return &role.Part{Caller: c, Close: func(context.Context) error { tr.CloseIdleConnections(); return nil }}, nil
}

// Call implements Caller.
func (c *httpCaller) Call(ctx context.Context, dst, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+c.paths.of(body), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
		return nil, fmt.Errorf("status %d: %s", resp.StatusCode, bytes.TrimSpace(text))
	}
	return appendAll(dst, resp.Body)
}

// appendAll is io.ReadAll into a buffer that is there already.
func appendAll(dst []byte, r io.Reader) ([]byte, error) {
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if errors.Is(err, io.EOF) {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}
