package worker

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// WaitReady returns when a Forward target serves: when it answers opts.HealthPath with a status below 400 or, without one,
// takes a connection. Call it before Run, so that a worker takes no request that its target can't serve yet. It tries again
// with a growing pause of at most a second until ctx ends; the error then tells what the last attempt met.
func WaitReady(ctx context.Context, target string, opts ForwardOptions) error {
	f, err := newForwarder(target, opts)
	if err != nil {
		return err
	}
	defer f.transport.CloseIdleConnections()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := f.probe(ctx, opts.HealthPath)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("worker: %s is not ready: %w (%w)", f.name, err, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

// probe asks once whether the target serves.
func (f *forwarder) probe(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if path == "" {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", hostPort(f.target.Host, f.target.Scheme))
		if err != nil {
			return err
		}
		return conn.Close()
	}
	u := *f.target
	path, query, _ := strings.Cut(path, "?")
	u.Path, u.RawPath, u.RawQuery = u.Path+path, "", query
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	res, err := f.transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.Copy(io.Discard, io.LimitReader(res.Body, keepBuffer)); err != nil {
		return err
	}
	if res.StatusCode >= 400 {
		return fmt.Errorf("%s answered status %d", path, res.StatusCode)
	}
	return nil
}

func hostPort(host, scheme string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	if scheme == "https" {
		return host + ":443"
	}
	return host + ":80"
}
