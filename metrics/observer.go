package metrics

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamerson/streamerson/rpc"
)

// maxLabel bounds a label value in bytes: a name on the wire may have 8 KiB.
const maxLabel = 128

// label makes any string a label value: valid UTF-8 (client_golang panics on others) of bounded length.
func label(s string) string {
	if len(s) > maxLabel {
		s = s[:maxLabel]
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "�")
	}
	return s
}

const (
	numCodes   = int(rpc.CodeUnauthenticated) + 1
	numOrigins = int(rpc.OriginHandler) + 1
)

var originNames = [numOrigins]string{rpc.OriginLocal: "local", rpc.OriginRuntime: "runtime", rpc.OriginHandler: "handler"}

// callChild is what one pair of stream and function has on the client's side.
type callChild struct {
	stream, function              string
	inFlight                      prometheus.Gauge
	total                         prometheus.Observer
	publish, queue, handle, reply prometheus.Observer
	results                       [numCodes][numOrigins]lazy[prometheus.Counter]
}

func (m *Metrics) newCall(k key) *callChild {
	s, f := label(k.stream), label(k.function)
	part := func(name string) prometheus.Observer { return m.v.partSeconds.WithLabelValues(s, f, name) }
	return &callChild{
		stream: s, function: f,
		inFlight: m.v.callsInFlight.WithLabelValues(s, f), total: m.v.callSeconds.WithLabelValues(s, f),
		publish: part("publish"), queue: part("queue"), handle: part("handler"), reply: part("reply"),
	}
}

// CallStart implements rpc.Observer.
func (m *Metrics) CallStart(stream, function string) { m.calls.get(stream, function).inFlight.Inc() }

// CallDone implements rpc.Observer.
func (m *Metrics) CallDone(stream, function string, t rpc.Timing, err error) {
	c := m.calls.get(stream, function)
	c.inFlight.Dec()
	code, origin := codeAndOrigin(err)
	c.results[code][origin].get(func() prometheus.Counter {
		return m.v.calls.WithLabelValues(c.stream, c.function, code.String(), originNames[origin])
	}).Inc()
	c.total.Observe(t.Total.Seconds())
	if origin == rpc.OriginLocal || err != nil && t.Queue == 0 && t.Handler == 0 {
		return // no reply came, or one without its parts
	}
	if t.Publish >= 0 { // negative: the reply was here before the broker's answer
		c.publish.Observe(t.Publish.Seconds())
	}
	c.queue.Observe(t.Queue.Seconds())
	c.handle.Observe(t.Handler.Seconds())
	c.reply.Observe(t.Reply().Seconds())
}

// handleChild is what one pair of stream and function has on the server's side.
type handleChild struct {
	stream, function string
	inFlight         prometheus.Gauge
	queue, took      prometheus.Observer
	results          [numCodes]lazy[prometheus.Counter]
}

func (m *Metrics) newHandle(k key) *handleChild {
	s, f := label(k.stream), label(k.function)
	return &handleChild{
		stream: s, function: f, inFlight: m.v.handlesInFlight.WithLabelValues(s, f),
		queue: m.v.queueSeconds.WithLabelValues(s, f), took: m.v.handlerSeconds.WithLabelValues(s, f),
	}
}

// HandleStart implements rpc.Observer.
func (m *Metrics) HandleStart(stream, function string) {
	m.handles.get(stream, function).inFlight.Inc()
}

// HandleDone implements rpc.Observer.
func (m *Metrics) HandleDone(stream, function string, queued, took time.Duration, code rpc.Code) {
	c := m.handles.get(stream, function)
	c.inFlight.Dec()
	if !code.Valid() {
		code = rpc.CodeUnknown
	}
	c.results[code].get(func() prometheus.Counter {
		return m.v.handled.WithLabelValues(c.stream, c.function, code.String())
	}).Inc()
	c.queue.Observe(max(queued, 0).Seconds())
	c.took.Observe(took.Seconds())
}

// streamChild is what one stream has.
type streamChild struct {
	stream                              string
	redelivered, duplicates, leasesLost prometheus.Counter
	slots                               prometheus.Gauge
}

func (m *Metrics) newStream(k key) *streamChild {
	s := label(k.stream)
	return &streamChild{
		stream: s, redelivered: m.v.redelivered.WithLabelValues(s), duplicates: m.v.duplicates.WithLabelValues(s),
		leasesLost: m.v.leasesLost.WithLabelValues(s), slots: m.v.slots.WithLabelValues(s),
	}
}

// Redelivered implements rpc.Observer.
func (m *Metrics) Redelivered(stream string) { m.streams.get(stream, "").redelivered.Inc() }

// Duplicate implements rpc.Observer.
func (m *Metrics) Duplicate(stream string) { m.streams.get(stream, "").duplicates.Inc() }

// LeaseLost implements rpc.Observer.
func (m *Metrics) LeaseLost(stream string) { m.streams.get(stream, "").leasesLost.Inc() }

// Slots implements rpc.Observer.
func (m *Metrics) Slots(stream string, inUse int) {
	m.streams.get(stream, "").slots.Set(float64(inUse))
}

// Expired implements rpc.Observer. It is rare enough for the vector's own lookup, as is DeadLettered.
func (m *Metrics) Expired(stream string, why rpc.ExpireReason) {
	m.v.expired.WithLabelValues(m.streams.get(stream, "").stream, string(why)).Inc()
}

// DeadLettered implements rpc.Observer.
func (m *Metrics) DeadLettered(stream string, cause rpc.DeadCause) {
	m.v.dead.WithLabelValues(m.streams.get(stream, "").stream, string(cause)).Inc()
}

// ReplyDropped implements rpc.Observer.
func (m *Metrics) ReplyDropped(why rpc.ReplyDrop) {
	if c := m.dropped[why]; c != nil {
		c.Inc()
	}
}

// Batch implements rpc.Observer.
func (m *Metrics) Batch(kind string, n int) {
	if o := m.batches[kind]; o != nil {
		o.Observe(float64(n))
	}
}
