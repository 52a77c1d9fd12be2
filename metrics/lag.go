package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamerson/streamerson/transport"
)

// Bounds of WatchLag.
const (
	// DefaultLagInterval is the time between two samples unless given: three in a usual scrape interval of 15 s.
	DefaultLagInterval = 5 * time.Second
	// lagTimeout bounds one stream's sample, so that a broker that hangs does not hold up the others for long.
	lagTimeout = 2 * time.Second
)

// WatchLag samples how far group is behind on each of streams() and sets the stream_ gauges, at once and then every so often
// (0: DefaultLagInterval), until ctx ends. It blocks: run it in a goroutine. What the driver doesn't know, and what could not
// be sampled or is no longer in streams(), has no series rather than an old value; failures are counted. Each sample is one
// broker round trip a stream, one after the other. streams may be called at any time from this goroutine.
func (m *Metrics) WatchLag(ctx context.Context, d transport.Driver, group string, streams func() []string, every time.Duration) {
	if every <= 0 {
		every = DefaultLagInterval
	}
	known := map[string]bool{}
	defer func() {
		for s := range known {
			m.forgetLag(s, group)
		}
	}()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		now := map[string]bool{}
		for _, s := range streams() {
			now[s] = true
			m.sampleLag(ctx, d, s, group)
			if ctx.Err() != nil {
				known[s] = true
				return
			}
		}
		for s := range known {
			if !now[s] {
				m.forgetLag(s, group)
			}
		}
		known = now
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (m *Metrics) sampleLag(ctx context.Context, d transport.Driver, stream, group string) {
	sampleCtx, cancel := context.WithTimeout(ctx, lagTimeout)
	defer cancel()
	lag, err := d.Lag(sampleCtx, stream, group)
	if err != nil {
		m.forgetLag(stream, group)
		if ctx.Err() == nil {
			m.v.lagFailures.WithLabelValues(label(stream), label(group), transport.CodeOf(err).String()).Inc()
		}
		return
	}
	set := func(g *prometheus.GaugeVec, v float64) {
		if v < 0 {
			g.DeleteLabelValues(label(stream), label(group))
			return
		}
		g.WithLabelValues(label(stream), label(group)).Set(v)
	}
	set(m.v.waiting, float64(lag.Waiting))
	set(m.v.pending, float64(lag.Pending))
	set(m.v.oldest, lag.Oldest.Seconds())
	if !d.Capabilities().LiveConsumers {
		lag.Consumers = -1
	}
	set(m.v.consumers, float64(lag.Consumers))
}

func (m *Metrics) forgetLag(stream, group string) {
	for _, g := range []*prometheus.GaugeVec{m.v.waiting, m.v.pending, m.v.oldest, m.v.consumers} {
		g.DeleteLabelValues(label(stream), label(group))
	}
}
