package metrics

import (
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// HTTP wraps a gateway's handler so that each request has a server span in its context, which calls made with that context
// continue. A caller's traceparent is taken as the parent only if trusted: anyone else could choose what is sampled and whose
// trace it joins. The span is named by the method and, once a mux has set it, the request's pattern; a handler that knows a
// better name calls SetName on the context's span.
func (t *Tracing) HTTP(next http.Handler, trusted bool) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		opts := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			attribute.String("http.request.method", r.Method), attribute.String("url.path", label(r.URL.Path)),
		)}
		if trusted {
			ctx = propagator.Extract(ctx, propagation.HeaderCarrier(r.Header))
		} else {
			opts = append(opts, trace.WithNewRoot())
		}
		ctx, span := t.tracer.Start(ctx, label(r.Method), opts...)
		defer span.End()
		sw := &statusWriter{ResponseWriter: w}
		r = r.WithContext(ctx)
		next.ServeHTTP(sw, r)
		if !span.IsRecording() {
			return
		}
		if r.Pattern != "" {
			span.SetName(r.Pattern)
		}
		status := sw.status
		if status == 0 {
			status = http.StatusOK
		}
		span.SetAttributes(attribute.Int("http.response.status_code", status))
		if status >= 500 {
			span.SetStatus(codes.Error, http.StatusText(status))
		}
	})
}

// statusWriter remembers the status. http.ResponseController reaches the writer's other abilities through Unwrap.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 && status >= 200 { // 1xx come before the answer
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Flush is for handlers that look for an http.Flusher themselves.
func (w *statusWriter) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }
