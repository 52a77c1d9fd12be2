package redis

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/streamerson/streamerson/conformance"
	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/internal/brokers/brokerstest"
	"github.com/streamerson/streamerson/transport"
)

const group = "workers"

// shared is the broker of all tests that don't hurt it.
var shared *brokers.Redis

func TestMain(m *testing.M) {
	conformance.ServeChild(openURL)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	r, err := brokerstest.StartRedis(ctx, brokers.RedisConfig{AOF: "everysec"})
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	shared = r
	code := m.Run()
	r.Stop()
	if code == 0 {
		if err := goleak.Find(goleak.IgnoreTopFunction("github.com/redis/go-redis/v9/maintnotifications.(*CircuitBreakerManager).cleanupLoop")); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines are left:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// events records what a driver reports.
type events struct {
	mu  sync.Mutex
	all []transport.Event
}

func (e *events) add(ev transport.Event) {
	e.mu.Lock()
	e.all = append(e.all, ev)
	e.mu.Unlock()
}

func (e *events) count(kind transport.EventKind) (n int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.all {
		if ev.Kind == kind {
			n += max(ev.N, 1)
		}
	}
	return n
}

func openWith(t testing.TB, rawURL string, opts transport.Options) *Driver {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	d, err := Open(t.Context(), u, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = d.Close(ctx)
	})
	return d.(*Driver)
}

func open(t testing.TB) (*Driver, *events) {
	ev := &events{}
	return openWith(t, shared.URL, transport.Options{OnEvent: ev.add}), ev
}

func own(t testing.TB, cfg brokers.RedisConfig) *brokers.Redis {
	t.Helper()
	cfg.Own = true
	return brokerstest.Redis(t, cfg)
}

// admin is a plain client, to look behind the driver's back.
func admin(t testing.TB, addr string) *goredis.Client {
	c := goredis.NewClient(&goredis.Options{Addr: addr, ClientName: "admin", PipelinePoolSize: -1, PoolSize: 1})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// within is a context for calls that must end soon.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// name is a stream's name that no other test uses.
func name(t testing.TB) string {
	return strings.NewReplacer("/", "-", "#", "-").Replace(t.Name()) + "." + newInstance()[:6]
}

func ensure(t testing.TB, d *Driver, streams ...string) {
	t.Helper()
	specs := make([]transport.StreamSpec, len(streams))
	for i, s := range streams {
		specs[i] = transport.StreamSpec{Stream: s, Groups: []string{group}}
	}
	if err := d.Ensure(within(t, 5*time.Second), specs); err != nil {
		t.Fatal(err)
	}
}

func join(t testing.TB, d *Driver, lease time.Duration) *consumer {
	t.Helper()
	c, err := d.Join(t.Context(), transport.Subscription{Group: group, Lease: lease})
	if err != nil {
		t.Fatal(err)
	}
	return c.(*consumer)
}

func msgs(stream string, bodies ...string) []transport.Message {
	m := make([]transport.Message, len(bodies))
	for i, b := range bodies {
		m[i] = transport.Message{Stream: stream, Body: []byte(b)}
	}
	return m
}

func publish(t testing.TB, d *Driver, m ...transport.Message) []transport.Result {
	t.Helper()
	res := make([]transport.Result, len(m))
	d.Publish(within(t, 10*time.Second), m, res)
	return res
}

func accepted(t testing.TB, d *Driver, m ...transport.Message) {
	t.Helper()
	for i, r := range publish(t, d, m...) {
		if r.Outcome != transport.OutcomeAccepted || r.Err != nil {
			t.Fatalf("message %d: %v, %v", i, r.Outcome, r.Err)
		}
	}
}

// receive collects n deliveries of one stream, or fails.
func receive(t testing.TB, c transport.Consumer, stream string, n int, d time.Duration) []transport.Delivery {
	t.Helper()
	ctx := within(t, d)
	var got []transport.Delivery
	for len(got) < n {
		ds, err := c.Receive(ctx, n-len(got), []transport.Credit{{Stream: stream, Max: n - len(got)}})
		if err != nil && !transport.IsCode(err, transport.CodeUnavailable) {
			t.Fatalf("received %d of %d: %v", len(got), n, err)
		}
		got = append(got, ds...)
	}
	return got
}

// nothing asserts that nothing is delivered for a while.
func nothing(t testing.TB, c transport.Consumer, stream string, d time.Duration) {
	t.Helper()
	ds, err := c.Receive(within(t, d), 10, []transport.Credit{{Stream: stream, Max: 10}})
	if len(ds) > 0 || !transport.IsCode(err, transport.CodeTimeout) {
		t.Fatalf("got %d deliveries, %v", len(ds), err)
	}
}

func settle(t testing.TB, c transport.Consumer, verb transport.Verb, ds ...transport.Delivery) []error {
	t.Helper()
	batch := make([]transport.Settlement, len(ds))
	for i := range ds {
		batch[i] = transport.Settlement{Delivery: &ds[i], Verb: verb}
	}
	errs := make([]error, len(ds))
	c.Settle(within(t, 10*time.Second), batch, errs)
	return errs
}

func ok(t testing.TB, errs []error) {
	t.Helper()
	for i, e := range errs {
		if e != nil {
			t.Fatalf("settlement %d: %v", i, e)
		}
	}
}

func bodies(ds []transport.Delivery) []string {
	var s []string
	for _, d := range ds {
		s = append(s, string(d.Body))
	}
	slices.Sort(s)
	return s
}

func lag(t testing.TB, d *Driver, stream string) transport.Lag {
	t.Helper()
	l, err := d.Lag(within(t, 5*time.Second), stream, group)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// eventually waits for something that others do.
func eventually(t testing.TB, d time.Duration, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(d); ; time.Sleep(5 * time.Millisecond) {
		if f() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", d, what)
		}
	}
}

func code(t testing.TB, err error, want transport.Code) {
	t.Helper()
	if !transport.IsCode(err, want) {
		t.Fatalf("want code %v, got %v", want, err)
	}
}
