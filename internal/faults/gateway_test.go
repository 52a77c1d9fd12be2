package faults

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamerson/streamerson/internal/brokers"
)

// gatewayAddress is a free one, for gateways that follow each other.
func gatewayAddress(t testing.TB) string {
	t.Helper()
	port, err := brokers.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// post sends one request and returns the answer's body.
func post(ctx context.Context, c *http.Client, addr, function, body string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, "POST", "http://"+addr+"/"+function, bytes.NewBufferString(body))
	if err != nil {
		return "", err
	}
	resp, err := c.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != 200 {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, b)
	}
	return string(b), err
}

// httpClient keeps enough connections for n requests at once.
func httpClient(t testing.TB, n int) *http.Client {
	tr := &http.Transport{MaxIdleConnsPerHost: n}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

// TestGatewayKilled kills a gateway (kill -9) with 20 requests being handled. Pass: all 20 come to their end at the worker
// and are settled; a new gateway on the same address gives 200 requests their own answers, and sees no reply that isn't
// for one of its calls; the dead one's lane is removed when its lease (30 s) is over.
func TestGatewayKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.worker(nil)
	at := func(c *childConfig) { c.Listen = gatewayAddress(t) }
	cfg := w.config(at)
	first := start(t, roleGateway, cfg)
	old := w.lanes()
	c := httpClient(t, 20)
	const requests = 20
	var wg sync.WaitGroup
	for i := range requests {
		wg.Go(func() {
			if body, err := post(context.Background(), c, cfg.Listen, "effect", fmt.Sprintf("old%d 2000", i)); err == nil {
				t.Errorf("a killed gateway answered %q", body)
			}
		})
	}
	eventually(t, 10*time.Second, "all to begin", func() bool { return len(ranTimes(t, runs(w.stream))) == requests })
	first.kill()
	wg.Wait()
	second := start(t, roleGateway, cfg)
	for i := range 200 {
		want := fmt.Sprintf("new%d", i)
		if body, err := post(t.Context(), c, cfg.Listen, "echo", want); err != nil || body != want {
			t.Fatalf("got %q, %v for %q", body, err, want)
		}
	}
	eventually(t, 5*time.Second, "the old requests to end", func() bool { return len(ranTimes(t, ends(w.stream))) == requests })
	w.drained(10 * time.Second)
	for name, n := range ranTimes(t, runs(w.stream)) {
		if n != "1" {
			t.Errorf("%s ran %s times", name, n)
		}
	}
	if n := second.seen.sum("reply-"); n != 0 {
		t.Errorf("the new gateway read foreign replies: %v", second.seen.n)
	}
	now := w.lanes()
	if len(old) != 2 || len(now) != 3 {
		t.Fatalf("lanes before %v, after %v", old, now)
	}
	eventually(t, 32*time.Second+slack, "the dead gateway's lane to go", func() bool { return len(w.lanes()) == 2 })
}

// TestRollingGateways restarts two gateways that share one address (SO_REUSEPORT), one after the other, under steady load
// over kept connections. Pass: no request fails, none gets another's answer, and the gateways end with status 0.
func TestRollingGateways(t *testing.T) {
	w := newWorld(t)
	w.worker(nil)
	addr := gatewayAddress(t)
	gateway := func() *process {
		return start(t, roleGateway, w.config(func(c *childConfig) { c.Listen = addr }))
	}
	running := []*process{gateway(), gateway()}
	ctx, stop := context.WithCancel(context.Background())
	const clients = 16
	c := httpClient(t, clients)
	var requests atomic.Int64
	var wg sync.WaitGroup
	for g := range clients {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				requests.Add(1)
				function, body := "echo", fmt.Sprintf("%d/%d", g, i)
				want := body
				if g < clients/2 { // some take long
					function, body, want = "sleep", strconv.Itoa(400+100*g), "w1"
				}
				if got, err := post(context.Background(), c, addr, function, body); err != nil || got != want {
					t.Errorf("%s %s: got %q, %v", function, body, got, err)
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	for _, old := range running {
		time.Sleep(300 * time.Millisecond)
		if s := old.terminate(15 * time.Second); s != 0 {
			t.Errorf("a gateway ended with status %d", s)
		}
		gateway()
	}
	time.Sleep(300 * time.Millisecond)
	stop()
	wg.Wait()
	t.Log(requests.Load(), "requests")
	w.drained(10 * time.Second)
}

// inFlight is how long after the last use of a connection a request may still go out on it unchecked. One that does so in
// the moment of the broker's death is in flight like those before it: it may be stored, so its caller waits.
const inFlight = 100 * time.Millisecond

// TestGatewayWithoutBroker: pass when a gateway whose broker is dead answers 503 within 1 s, and serves again within 2 s
// after the broker is back.
func TestGatewayWithoutBroker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.worker(nil)
	cfg := w.config(func(c *childConfig) { c.Listen = gatewayAddress(t) })
	start(t, roleGateway, cfg)
	c := httpClient(t, 1)
	if _, err := post(t.Context(), c, cfg.Listen, "echo", "x"); err != nil {
		t.Fatal(err)
	}
	if err := w.broker.Kill9(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(inFlight)
	for range 5 {
		began := time.Now()
		resp, err := c.Post("http://"+cfg.Listen+"/echo", "text/plain", bytes.NewBufferString("x"))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if took := time.Since(began); took > time.Second+slack || resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
			t.Errorf("status %d, Retry-After %q after %v", resp.StatusCode, resp.Header.Get("Retry-After"), took)
		}
	}
	if err := w.broker.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*time.Second+slack, "the gateway to serve again", func() bool {
		_, err := post(t.Context(), c, cfg.Listen, "echo", "x")
		return err == nil
	})
}
