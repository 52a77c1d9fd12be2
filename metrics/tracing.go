package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// scopeName is the instrumentation scope of all spans.
const scopeName = "github.com/streamerson/streamerson/metrics"

// exportTimeout bounds one export; the exporter's own retries are inside it.
const exportTimeout = 10 * time.Second

// Tracing makes spans that cross the stream: the gateway's HTTP span, the call, the wait in the stream, and the handler, each
// the child of the one before. A nil *Tracing is tracing switched off: its middleware and wrapper are then not there at all.
type Tracing struct {
	tracer   trace.Tracer
	shutdown func(context.Context) error
}

// NewTracing makes spans with any provider: a program's own, or a test's.
func NewTracing(p trace.TracerProvider) *Tracing {
	return &Tracing{tracer: p.Tracer(scopeName), shutdown: func(context.Context) error { return nil }}
}

// SetupTracing exports spans to an OTLP/HTTP collector at endpoint, "http://host:4318" (or with the whole path), in the name of
// service. An empty endpoint switches tracing off: it returns nil, nil. The provider and the W3C propagator become the process's
// global ones too, so that a handler's own spans join. Sampling follows OTEL_TRACES_SAMPLER, by default everything whose parent
// was sampled or that has none. It doesn't block: a collector that can't be reached costs log lines and spans, never a call.
func SetupTracing(ctx context.Context, endpoint, service string) (*Tracing, error) {
	if endpoint == "" {
		return nil, nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("tracing: the endpoint %q is not a URL like http://localhost:4318", redactText(endpoint))
	}
	opts := []otlptracehttp.Option{otlptracehttp.WithTimeout(exportTimeout)}
	if u.User != nil {
		return nil, fmt.Errorf("tracing: the endpoint %q has a user and password: give credentials by OTEL_EXPORTER_OTLP_HEADERS", redactText(endpoint))
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	exporter, err := otlptracehttp.New(ctx, append(opts, otlptracehttp.WithEndpointURL(u.String()))...)
	if err != nil {
		return nil, fmt.Errorf("tracing: exporter for %q: %w", endpoint, err)
	}
	res, err := resource.Merge(resource.Default(), resource.NewSchemaless(attribute.String("service.name", service)))
	if err != nil {
		return nil, fmt.Errorf("tracing: resource: %w", err)
	}
	p := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res))
	otel.SetTracerProvider(p)
	otel.SetTextMapPropagator(propagator)
	// The default handler writes past the program's logger, without a limit.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { slog.Warn("tracing failed", "error", err) }))
	return &Tracing{tracer: p.Tracer(scopeName), shutdown: p.Shutdown}, nil
}

// Shutdown exports what is left, until ctx ends. On a nil Tracing it does nothing.
func (t *Tracing) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.shutdown(ctx)
}

var propagator = propagation.TraceContext{}

// carrier is the trace context as an rpc.Request has it.
type carrier struct{ parent, state string }

func (c *carrier) Get(key string) string {
	switch key {
	case "traceparent":
		return c.parent
	case "tracestate":
		return c.state
	}
	return ""
}

func (c *carrier) Set(key, value string) {
	switch key {
	case "traceparent":
		c.parent = value
	case "tracestate":
		c.state = value
	}
}

func (c *carrier) Keys() []string { return []string{"traceparent", "tracestate"} }
