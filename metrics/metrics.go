package metrics

import (
	"errors"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

// Config has the settings of Metrics. The zero value works.
type Config struct {
	// Version of the program, for streamerson_build_info; "" means "unknown".
	Version string
	// MaxFunctions bounds how many pairs of stream and function get series of their own, on the client's and on the server's
	// side each; later ones are counted as function "other". 0 means DefaultMaxFunctions.
	MaxFunctions int
	// MaxStreams bounds the streams that get series of their own; later ones are counted as "other". 0 means DefaultMaxStreams.
	MaxStreams int
	// NativeHistograms adds Prometheus' native (sparse) buckets to every duration histogram. They resolve better than the
	// classic ones and make each observation several times dearer.
	NativeHistograms bool
}

// Defaults of Config: a pair with all its parts and codes is about 150 series, so 200 pairs are 30,000, which any Prometheus
// holds; a stream alone is about ten.
const (
	DefaultMaxFunctions = 200
	DefaultMaxStreams   = 1_000
)

// other is the label value of what came after a bound was reached.
const other = "other"

// durationBuckets, in seconds: from half a millisecond, where a call on a near broker lies, to the longest usual timeout.
var durationBuckets = []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}

// batchBuckets: powers of two up to twice the largest batch seen in measurements.
var batchBuckets = []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}

// Metrics counts what the core and the transports report. Give it to rpc.ClientConfig.Observer, rpc.ServerConfig.Observer and
// its OnEvent to transport.Options. Its methods may be called concurrently, do not block, and allocate only for a label value
// that is new. One serves a whole process.
type Metrics struct {
	registry *prometheus.Registry
	calls    *children[*callChild]
	handles  *children[*handleChild]
	streams  *children[*streamChild]
	v        vectors
	dropped  map[rpc.ReplyDrop]prometheus.Counter
	batches  map[string]prometheus.Observer
	events   map[transport.EventKind]prometheus.Counter
}

// vectors are the families with labels, as they are registered.
type vectors struct {
	callsInFlight, handlesInFlight, slots *prometheus.GaugeVec
	calls, handled                        *prometheus.CounterVec
	callSeconds, partSeconds              *prometheus.HistogramVec
	queueSeconds, handlerSeconds          *prometheus.HistogramVec
	expired, redelivered, duplicates      *prometheus.CounterVec
	dead, leasesLost                      *prometheus.CounterVec
	dropped, events                       *prometheus.CounterVec
	batch                                 *prometheus.HistogramVec
	connected                             prometheus.Gauge
	waiting, pending, oldest, consumers   *prometheus.GaugeVec
	lagFailures                           *prometheus.CounterVec
}

var _ rpc.Observer = (*Metrics)(nil)

// New makes the metrics and a registry that holds them beside the Go runtime's and the process's own.
func New(cfg Config) *Metrics {
	if cfg.MaxFunctions <= 0 {
		cfg.MaxFunctions = DefaultMaxFunctions
	}
	if cfg.MaxStreams <= 0 {
		cfg.MaxStreams = DefaultMaxStreams
	}
	if cfg.Version == "" {
		cfg.Version = "unknown"
	}
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.register(cfg)
	m.calls = newChildren(cfg.MaxFunctions, m.newCall)
	m.handles = newChildren(cfg.MaxFunctions, m.newHandle)
	m.streams = newChildren(cfg.MaxStreams, m.newStream)
	m.dropped = map[rpc.ReplyDrop]prometheus.Counter{}
	for _, why := range []rpc.ReplyDrop{rpc.DropLate, rpc.DropDuplicate, rpc.DropUnknown, rpc.DropBad} {
		m.dropped[why] = m.v.dropped.WithLabelValues(string(why))
	}
	m.batches = map[string]prometheus.Observer{}
	for _, kind := range []string{"publish", "settle"} {
		m.batches[kind] = m.v.batch.WithLabelValues(kind)
	}
	m.events = map[transport.EventKind]prometheus.Counter{}
	for _, kind := range []transport.EventKind{
		transport.EventRedelivered, transport.EventDeleted, transport.EventTrimmed, transport.EventRecreated, transport.EventDisconnected,
		transport.EventConnected, transport.EventLaneReaped, transport.EventSurplus,
	} {
		m.events[kind] = m.v.events.WithLabelValues(string(kind))
	}
	m.v.connected.Set(1) // a driver that is open was connected
	return m
}

// Registry holds all metrics; a program may register its own in it.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

func (m *Metrics) register(cfg Config) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "streamerson_" + name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "streamerson_" + name, Help: help}, labels)
		m.registry.MustRegister(g)
		return g
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		opts := prometheus.HistogramOpts{Name: "streamerson_" + name, Help: help, Buckets: buckets}
		if cfg.NativeHistograms {
			// Factor 1.1: 10 % resolution. 160 buckets span what the classic ones do; beyond, or hourly, it starts anew.
			opts.NativeHistogramBucketFactor, opts.NativeHistogramMaxBucketNumber, opts.NativeHistogramMinResetDuration = 1.1, 160, time.Hour
		}
		h := prometheus.NewHistogramVec(opts, labels)
		m.registry.MustRegister(h)
		return h
	}
	m.v = vectors{
		callsInFlight: gauge("client_calls_in_flight", "Calls that wait for their reply.", "stream", "function"),
		calls:         counter("client_calls_total", "Calls that ended, by result and by who found it.", "stream", "function", "code", "origin"),
		callSeconds:   histogram("client_call_seconds", "Time from a call's start to its end.", durationBuckets, "stream", "function"),
		partSeconds:   histogram("client_part_seconds", "The parts of an answered call's time.", durationBuckets, "stream", "function", "part"),

		handlesInFlight: gauge("server_requests_in_flight", "Handlers that run.", "stream", "function"),
		handled:         counter("server_requests_total", "Requests whose handler ended, by result.", "stream", "function", "code"),
		queueSeconds:    histogram("server_queue_seconds", "Time from publishing to the start of the handler.", durationBuckets, "stream", "function"),
		handlerSeconds:  histogram("server_handler_seconds", "Time in the handler.", durationBuckets, "stream", "function"),
		slots:           gauge("server_slots_in_use", "Handler slots in use.", "stream"),
		expired:         counter("server_expired_total", "Requests settled unrun, by why nobody waited for them any more.", "stream", "why"),
		redelivered:     counter("server_redelivered_total", "Requests that came with an attempt above 1.", "stream"),
		duplicates:      counter("server_duplicates_total", "Requests whose id was already running or done here.", "stream"),
		dead:            counter("server_dead_letters_total", "Requests given up to the dead letter stream, by cause.", "stream", "cause"),
		leasesLost:      counter("server_leases_lost_total", "Running requests that another worker took over.", "stream"),

		dropped: counter("client_replies_dropped_total", "Replies that nobody waited for, by why.", "why"),
		batch:   histogram("batch_size", "Items handed to the transport in one call.", batchBuckets, "kind"),
		events:  counter("transport_events_total", "What drivers did by themselves, by kind; several at once count each.", "kind"),

		waiting:     gauge("stream_waiting", "Requests not yet delivered to the group.", "stream", "group"),
		pending:     gauge("stream_pending", "Requests delivered to the group and not settled.", "stream", "group"),
		oldest:      gauge("stream_oldest_seconds", "Age of the oldest request that waits or is pending.", "stream", "group"),
		consumers:   gauge("stream_consumers", "Members of the group that are alive for the stream.", "stream", "group"),
		lagFailures: counter("stream_sample_failures_total", "Samples of a stream's lag that failed, by the transport's code.", "stream", "group", "code"),
	}
	m.v.connected = prometheus.NewGauge(prometheus.GaugeOpts{Name: "streamerson_transport_connected", Help: "1 while the broker is connected, 0 while it is lost."})
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "streamerson_build_info", Help: "Always 1; the labels say which program runs."}, []string{"version", "goversion"})
	info.WithLabelValues(cfg.Version, runtime.Version()).Set(1)
	m.registry.MustRegister(m.v.connected, info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

// OnEvent counts a transport's event; it fits transport.Options.OnEvent.
func (m *Metrics) OnEvent(e transport.Event) {
	c := m.events[e.Kind]
	if c == nil {
		c = m.v.events.WithLabelValues(other)
	}
	c.Add(float64(max(e.N, 1)))
	switch e.Kind {
	case transport.EventDisconnected:
		m.v.connected.Set(0)
	case transport.EventConnected:
		m.v.connected.Set(1)
	}
}

// codeAndOrigin reads a call's error.
func codeAndOrigin(err error) (rpc.Code, rpc.Origin) {
	if err == nil {
		return rpc.CodeOK, rpc.OriginHandler
	}
	if e, ok := errors.AsType[*rpc.Error](err); ok {
		code := e.Code
		if !code.Valid() {
			code = rpc.CodeUnknown
		}
		return code, min(e.Origin, rpc.OriginHandler)
	}
	if code := rpc.CodeOf(err); code != rpc.CodeUnknown {
		return code, rpc.OriginLocal // a context's
	}
	return rpc.CodeInternal, rpc.OriginLocal // what the core answers for a handler's plain error
}
