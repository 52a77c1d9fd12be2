package bench

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
)

// echoPath is what HTTP clients post to, at servers, proxies and gateways alike.
const echoPath = "/echo"

// headerTimeout is set on every server here because a real one has it; it costs all legs the same.
const headerTimeout = 10 * time.Second

// idleConns keeps a connection for each call in flight: with net/http's default of 2 a host, most calls would dial.
const idleConns = 1024

// echoHTTP is the service that HTTP legs call: ordinary code, which reads the body whole and answers it.
func echoHTTP(w http.ResponseWriter, r *http.Request) {
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
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

func serveHTTP(h http.Handler) (*part, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout}
	go func() { _ = srv.Serve(ln) }()
	return &part{addr: "http://" + ln.Addr().String(), close: func(context.Context) error { return srv.Close() }}, nil
}

func startHTTPServer(context.Context, roleSpec, Wiring) (*part, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+echoPath, echoHTTP)
	return serveHTTP(mux)
}

// startHTTPProxy is the world before streams: a gateway that passes each request on to an HTTP server. It is httputil's
// reverse proxy as it comes, but for its connections: kept for all calls in flight, without compression.
func startHTTPProxy(_ context.Context, spec roleSpec, _ Wiring) (*part, error) {
	return startProxy(spec, nil)
}

// startHTTPProxyPooled has pooled copy buffers besides. Few who use the package set them; without them it makes a buffer of
// 32 KiB for each response, which is a third of its CPU time here.
func startHTTPProxyPooled(_ context.Context, spec roleSpec, _ Wiring) (*part, error) {
	return startProxy(spec, &copyBuffers{})
}

func startProxy(spec roleSpec, buffers httputil.BufferPool) (*part, error) {
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
	url    string
}

func startHTTPClient(_ context.Context, spec roleSpec, _ Wiring) (*part, error) {
	tr := keepAlive()
	c := &httpCaller{client: &http.Client{Transport: tr}, url: spec.URL + echoPath}
	return &part{caller: c, close: func(context.Context) error { tr.CloseIdleConnections(); return nil }}, nil
}

// Call implements Caller.
func (c *httpCaller) Call(ctx context.Context, dst, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
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
