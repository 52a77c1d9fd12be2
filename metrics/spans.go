package metrics

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/streamerson/streamerson/rpc"
)

// The attributes follow OpenTelemetry's conventions for messaging and rpc where they have a name.
const (
	attrSystem    = attribute.Key("messaging.system")
	attrStream    = attribute.Key("messaging.destination.name")
	attrFunction  = attribute.Key("rpc.method")
	attrCode      = attribute.Key("streamerson.code")
	attrAttempt   = attribute.Key("streamerson.attempt")
	attrRequestID = attribute.Key("streamerson.request_id")
	attrPublish   = attribute.Key("streamerson.publish_ms")
	attrQueue     = attribute.Key("streamerson.queue_ms")
	attrHandler   = attribute.Key("streamerson.handler_ms")
)

func identity(next rpc.Handler) rpc.Handler { return next }

func requestAttributes(req *rpc.Request) trace.SpanStartEventOption {
	return trace.WithAttributes(attrSystem.String("streamerson"), attrStream.String(req.Stream), attrFunction.String(label(req.Function)))
}

// Client is middleware for rpc.ClientConfig: each call gets a span, the child of ctx's span or else of the request's own trace
// context, and the request carries it on. A call is a client span, a one-way message a producer span.
func (t *Tracing) Client() rpc.Middleware {
	if t == nil {
		return identity
	}
	return func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
			kind, verb := trace.SpanKindClient, "call "
			if req.OneWay {
				kind, verb = trace.SpanKindProducer, "send "
			}
			if !trace.SpanContextFromContext(ctx).IsValid() && req.Trace != "" {
				ctx = propagator.Extract(ctx, &carrier{req.Trace, req.TraceState})
			}
			ctx, span := t.tracer.Start(ctx, verb+req.Stream+" "+label(req.Function), trace.WithSpanKind(kind), requestAttributes(req))
			defer span.End()
			var c carrier
			propagator.Inject(ctx, &c)
			traced := *req // the caller may use its request again
			traced.Trace, traced.TraceState = c.parent, c.state
			resp, err := next(ctx, &traced)
			if span.IsRecording() {
				finish(span, err)
				if resp != nil {
					span.SetAttributes(attrPublish.Float64(ms(resp.Timing.Publish)), attrQueue.Float64(ms(resp.Timing.Queue)), attrHandler.Float64(ms(resp.Timing.Handler)))
				}
			}
			return resp, err
		}
	}
}

// Server is middleware for rpc.ServerConfig: each request gets a consumer span for its time in the stream, the child of the
// caller's span, and under it a server span for the handler, whose context has it.
func (t *Tracing) Server() rpc.Middleware {
	if t == nil {
		return identity
	}
	return func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
			parent := propagator.Extract(ctx, &carrier{req.Trace, req.TraceState})
			now := time.Now()
			parent, queue := t.tracer.Start(parent, "queue "+req.Stream, trace.WithSpanKind(trace.SpanKindConsumer), requestAttributes(req),
				trace.WithTimestamp(now.Add(-max(req.Queued, 0))))
			queue.SetAttributes(attrQueue.Float64(ms(req.Queued)))
			queue.End(trace.WithTimestamp(now))
			ctx, span := t.tracer.Start(parent, "handle "+req.Stream+" "+label(req.Function), trace.WithSpanKind(trace.SpanKindServer), requestAttributes(req),
				trace.WithTimestamp(now))
			if span.IsRecording() {
				span.SetAttributes(attrAttempt.Int(req.Attempt), attrRequestID.String(req.ID.String()))
			}
			ended := false
			defer func() {
				if !ended { // a panic passes through here on its way to the core
					span.SetStatus(codes.Error, "panic")
				}
				span.End()
			}()
			resp, err := next(ctx, req)
			ended = true
			finish(span, err)
			return resp, err
		}
	}
}

func finish(span trace.Span, err error) {
	code, _ := codeAndOrigin(err)
	span.SetAttributes(attrCode.String(code.String()))
	if err != nil {
		span.SetStatus(codes.Error, redactText(err.Error()))
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
