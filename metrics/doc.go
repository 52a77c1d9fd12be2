// Package metrics makes the rpc core and the transports visible: Prometheus metrics (Metrics, an rpc.Observer), an admin
// server for them with health and readiness (Admin), OpenTelemetry traces that cross the stream (Tracing), and a logger that
// hides secrets and does not flood (NewLogger). docs/metrics.md lists every metric. The core knows nothing of this package.
package metrics
