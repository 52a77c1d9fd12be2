package main

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// httpMetrics counts the gateway's HTTP requests, beside what package metrics counts of the calls that they make.
type httpMetrics struct {
	inFlight prometheus.Gauge
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

// httpBuckets, in seconds, are those of the calls, so that the two can be laid over each other.
var httpBuckets = []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}

func newHTTPMetrics(r prometheus.Registerer) *httpMetrics {
	m := &httpMetrics{
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "streamerson_http_requests_in_flight", Help: "HTTP requests under way."}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "streamerson_http_requests_total", Help: "HTTP requests that ended, by route (empty: none matched) and status (499: the client had gone)."}, []string{"route", "status"}),
		seconds:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "streamerson_http_request_seconds", Help: "Time from an HTTP request's header to the end of its answer.", Buckets: httpBuckets}, []string{"route"}),
	}
	r.MustRegister(m.inFlight, m.requests, m.seconds)
	return m
}

// RequestStart is part of gateway.Observer.
func (m *httpMetrics) RequestStart() { m.inFlight.Inc() }

// RequestDone is part of gateway.Observer. Routes come from the configuration and statuses are few, so the series are bounded.
func (m *httpMetrics) RequestDone(route string, status int, took time.Duration) {
	m.inFlight.Dec()
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}
