package metrics

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

// series returns every series of ours as name{label="value",…} → value; histograms give _count and _sum.
func series(t *testing.T, g prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "streamerson_") {
			continue
		}
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			suffix := "{" + strings.Join(labels, ",") + "}"
			switch {
			case m.Counter != nil:
				out[f.GetName()+suffix] = m.Counter.GetValue()
			case m.Gauge != nil:
				out[f.GetName()+suffix] = m.Gauge.GetValue()
			case m.Histogram != nil:
				out[f.GetName()+"_count"+suffix] = float64(m.Histogram.GetSampleCount())
				out[f.GetName()+"_sum"+suffix] = m.Histogram.GetSampleSum()
			}
		}
	}
	return out
}

func expect(t *testing.T, got map[string]float64, want map[string]float64) {
	t.Helper()
	for k, v := range want {
		if g, ok := got[k]; !ok || g < v-1e-9 || g > v+1e-9 {
			t.Errorf("%s is %v (there: %v), want %v", k, g, ok, v)
		}
	}
}

// exercise makes every metric appear.
func exercise(t *testing.T, m *Metrics) {
	t.Helper()
	m.CallStart("posts", "get")
	m.CallDone("posts", "get", rpc.Timing{Total: 100 * time.Millisecond, Publish: 10 * time.Millisecond, Queue: 20 * time.Millisecond, Handler: 30 * time.Millisecond}, nil)
	m.CallStart("posts", "get")
	m.CallDone("posts", "get", rpc.Timing{Total: time.Second}, &rpc.Error{Code: rpc.CodeDeadlineExceeded, Origin: rpc.OriginLocal})
	m.CallStart("posts", "get")
	m.CallDone("posts", "get", rpc.Timing{Total: time.Second, Publish: -1, Queue: time.Millisecond}, &rpc.Error{Code: rpc.CodeNotFound, Origin: rpc.OriginHandler})
	m.CallStart("posts", "get")
	m.HandleStart("posts", "get")
	m.HandleStart("posts", "get")
	m.HandleDone("posts", "get", 20*time.Millisecond, 30*time.Millisecond, rpc.CodeInternal)
	m.ReplyDropped(rpc.DropLate)
	m.Expired("posts", rpc.ExpireDeadline)
	m.Redelivered("posts")
	m.Duplicate("posts")
	m.DeadLettered("posts", rpc.DeadCrashes)
	m.LeaseLost("posts")
	m.Batch("publish", 60)
	m.Slots("posts", 7)
	m.OnEvent(transport.Event{Kind: transport.EventTrimmed, N: 40})
	m.OnEvent(transport.Event{Kind: transport.EventDisconnected, Err: errors.New("x")})
	m.OnEvent(transport.Event{Kind: "a kind of a third party's"})
	m.sampleLag(t.Context(), &lagDriver{lag: transport.Lag{Waiting: 5, Pending: 3, Oldest: 1500 * time.Millisecond, Consumers: 2}}, "posts", "workers")
	m.sampleLag(t.Context(), &lagDriver{err: &transport.Error{Code: transport.CodeUnavailable}}, "users", "workers")
}

func TestObserver(t *testing.T) {
	m := New(Config{Version: "v1"})
	exercise(t, m)
	got := series(t, m.Registry())
	const c = "{function=get,stream=posts}"
	expect(t, got, map[string]float64{
		"streamerson_client_calls_in_flight" + c:                                                        1,
		"streamerson_client_calls_total{code=ok,function=get,origin=handler,stream=posts}":              1,
		"streamerson_client_calls_total{code=deadline_exceeded,function=get,origin=local,stream=posts}": 1,
		"streamerson_client_calls_total{code=not_found,function=get,origin=handler,stream=posts}":       1,
		"streamerson_client_call_seconds_count" + c:                                                     3,
		"streamerson_client_call_seconds_sum" + c:                                                       2.1,
		"streamerson_client_part_seconds_sum{function=get,part=publish,stream=posts}":                   0.01,
		"streamerson_client_part_seconds_count{function=get,part=publish,stream=posts}":                 1,
		"streamerson_client_part_seconds_sum{function=get,part=queue,stream=posts}":                     0.021,
		"streamerson_client_part_seconds_count{function=get,part=queue,stream=posts}":                   2,
		"streamerson_client_part_seconds_sum{function=get,part=handler,stream=posts}":                   0.03,
		"streamerson_client_part_seconds_sum{function=get,part=reply,stream=posts}":                     0.04 + 0.999,
		"streamerson_server_requests_in_flight" + c:                                                     1,
		"streamerson_server_requests_total{code=internal,function=get,stream=posts}":                    1,
		"streamerson_server_queue_seconds_sum" + c:                                                      0.02,
		"streamerson_server_handler_seconds_sum" + c:                                                    0.03,
		"streamerson_client_replies_dropped_total{why=late}":                                            1,
		"streamerson_client_replies_dropped_total{why=unknown}":                                         0,
		"streamerson_server_expired_total{stream=posts,why=deadline}":                                   1,
		"streamerson_server_redelivered_total{stream=posts}":                                            1,
		"streamerson_server_duplicates_total{stream=posts}":                                             1,
		"streamerson_server_dead_letters_total{cause=crashes,stream=posts}":                             1,
		"streamerson_server_leases_lost_total{stream=posts}":                                            1,
		"streamerson_batch_size_sum{kind=publish}":                                                      60,
		"streamerson_server_slots_in_use{stream=posts}":                                                 7,
		"streamerson_transport_events_total{kind=trimmed}":                                              40,
		"streamerson_transport_events_total{kind=disconnected}":                                         1,
		"streamerson_transport_events_total{kind=other}":                                                1,
		"streamerson_transport_connected{}":                                                             0,
		"streamerson_stream_waiting{group=workers,stream=posts}":                                        5,
		"streamerson_stream_pending{group=workers,stream=posts}":                                        3,
		"streamerson_stream_oldest_seconds{group=workers,stream=posts}":                                 1.5,
		"streamerson_stream_consumers{group=workers,stream=posts}":                                      2,
		"streamerson_stream_sample_failures_total{code=unavailable,group=workers,stream=users}":         1,
	})
	m.OnEvent(transport.Event{Kind: transport.EventConnected})
	expect(t, series(t, m.Registry()), map[string]float64{"streamerson_transport_connected{}": 1})
}

// TestCardinality: names that a caller invents share one series past the bound, whatever their bytes, and in-flight counts
// stay right.
func TestCardinality(t *testing.T) {
	m := New(Config{MaxFunctions: 3, MaxStreams: 2, NativeHistograms: true})
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			f := fmt.Sprintf("\xff%d%s", i, strings.Repeat("x", 9000))
			m.CallStart("s", f)
			m.HandleStart("s", f)
			m.HandleDone("s", f, 0, 0, rpc.Code(99))
			m.CallDone("s", f, rpc.Timing{}, nil)
			m.Slots(fmt.Sprint("stream", i), 1)
			m.Expired(fmt.Sprint("stream", i), rpc.ExpireCanceled)
		})
	}
	wg.Wait()
	functions, streams, calls := map[string]bool{}, map[string]bool{}, 0.0
	name := regexp.MustCompile(`(function|stream)=([^,}]*)`)
	for k, v := range series(t, m.Registry()) {
		for _, l := range name.FindAllStringSubmatch(k, -1) {
			if l[1] == "function" {
				if strings.HasPrefix(k, "streamerson_client") { // the server's side has chosen others
					functions[l[2]] = true
				}
			} else if !strings.Contains(k, "function=") {
				streams[l[2]] = true
			}
			if len(l[2]) > 3*maxLabel {
				t.Errorf("a label of %d bytes", len(l[2]))
			}
		}
		if strings.Contains(k, "in_flight") && v != 0 {
			t.Errorf("%.100s is %v after all ended", k, v)
		}
		if strings.HasPrefix(k, "streamerson_client_calls_total") {
			calls += v
		}
	}
	if len(functions) != 4 || !functions[other] || len(streams) != 3 || !streams[other] || calls != 200 {
		t.Errorf("%d functions, %d streams, %v calls counted; want 3 and 2 besides %q, 200 calls", len(functions), len(streams), calls, other)
	}
}

func TestHotPathAllocates(t *testing.T) {
	m := New(Config{})
	var err error = &rpc.Error{Code: rpc.CodeInternal}
	one := func() {
		m.CallStart("posts", "get")
		m.HandleStart("posts", "get")
		m.HandleDone("posts", "get", time.Millisecond, time.Millisecond, rpc.CodeOK)
		m.CallDone("posts", "get", rpc.Timing{Total: time.Millisecond}, nil)
		m.CallDone("posts", "get", rpc.Timing{Total: time.Millisecond}, err)
		m.Batch("settle", 3)
		m.Slots("posts", 1)
		m.Redelivered("posts")
		m.ReplyDropped(rpc.DropBad)
		m.OnEvent(transport.Event{Kind: transport.EventTrimmed, N: 1})
	}
	if n := testing.AllocsPerRun(100, one); n != 0 {
		t.Errorf("%v allocations for known labels, want none", n)
	}
	full := New(Config{MaxFunctions: 1})
	full.CallStart("posts", "first")
	if n := testing.AllocsPerRun(100, func() { full.CallStart("posts", "another") }); n != 0 {
		t.Errorf("%v allocations past the bound, want none", n)
	}
}

func BenchmarkCall(b *testing.B) {
	m := New(Config{})
	b.ReportAllocs()
	for range b.N {
		m.CallStart("posts", "get")
		m.CallDone("posts", "get", rpc.Timing{Total: 3 * time.Millisecond, Publish: time.Millisecond, Queue: time.Millisecond, Handler: time.Millisecond}, nil)
	}
}

// lagDriver answers Lag only.
type lagDriver struct {
	transport.Driver
	mu    sync.Mutex
	lag   transport.Lag
	err   error
	asked []string
}

func (d *lagDriver) Capabilities() transport.Capabilities {
	return transport.Capabilities{LiveConsumers: true}
}

func (d *lagDriver) Lag(_ context.Context, stream, _ string) (transport.Lag, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, stream)
	return d.lag, d.err
}

func (d *lagDriver) set(lag transport.Lag, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lag, d.err = lag, err
}

func TestWatchLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Config{})
		d := &lagDriver{lag: transport.Lag{Waiting: 5, Pending: -1, Oldest: time.Second, Consumers: 2}}
		streams := []string{"a", "b"}
		var mu sync.Mutex
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			m.WatchLag(ctx, d, "g", func() []string { mu.Lock(); defer mu.Unlock(); return slices.Clone(streams) }, time.Second)
		})
		synctest.Wait()
		got := series(t, m.Registry())
		expect(t, got, map[string]float64{"streamerson_stream_waiting{group=g,stream=a}": 5, "streamerson_stream_waiting{group=g,stream=b}": 5})
		absent := func(k string) {
			t.Helper()
			if v, ok := series(t, m.Registry())[k]; ok {
				t.Errorf("%s is still %v", k, v)
			}
		}
		absent("streamerson_stream_pending{group=g,stream=a}") // −1: the broker doesn't tell

		mu.Lock()
		streams = []string{"a"}
		mu.Unlock()
		time.Sleep(time.Second)
		synctest.Wait()
		absent("streamerson_stream_waiting{group=g,stream=b}")

		d.set(transport.Lag{}, &transport.Error{Code: transport.CodeNotFound})
		time.Sleep(time.Second)
		synctest.Wait()
		absent("streamerson_stream_waiting{group=g,stream=a}")
		expect(t, series(t, m.Registry()), map[string]float64{"streamerson_stream_sample_failures_total{code=not-found,group=g,stream=a}": 1})

		d.set(transport.Lag{Waiting: 1}, nil)
		time.Sleep(time.Second)
		synctest.Wait()
		expect(t, series(t, m.Registry()), map[string]float64{"streamerson_stream_waiting{group=g,stream=a}": 1, "streamerson_stream_consumers{group=g,stream=a}": 0})
		cancel()
		wg.Wait()
		absent("streamerson_stream_waiting{group=g,stream=a}")
	})
}

// TestDocumented: docs/metrics.md has a row for each metric, with its type and labels, and for no other.
func TestDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `(streamerson_[a-z_]+)` \\| (\\w+) \\| ([^|]*) \\| ([^|]*) \\| ([^|]*) \\|$")
	documented := map[string]string{}
	for _, r := range row.FindAllStringSubmatch(string(doc), -1) {
		labels := strings.Split(strings.NewReplacer("`", "", " ", "").Replace(r[3]), ",")
		slices.Sort(labels)
		documented[r[1]] = r[2] + " " + strings.Join(labels, ",")
		if strings.TrimSpace(r[4]) == "" || strings.TrimSpace(r[5]) == "" {
			t.Errorf("docs/metrics.md: %s has no unit or no meaning", r[1])
		}
	}
	m := New(Config{})
	exercise(t, m)
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "streamerson_") {
			continue
		}
		var labels []string
		for _, l := range f.Metric[0].Label {
			labels = append(labels, l.GetName())
		}
		if len(labels) == 0 {
			labels = []string{"–"}
		}
		want := strings.ToLower(dto.MetricType_name[int32(f.GetType())]) + " " + strings.Join(labels, ",")
		if got := documented[f.GetName()]; got != want {
			t.Errorf("docs/metrics.md has %q for %s, the program %q", got, f.GetName(), want)
		}
		delete(documented, f.GetName())
	}
	for name := range documented {
		t.Errorf("docs/metrics.md has %s, which is not registered", name)
	}
}
