package metrics

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport/mem"
)

// serve runs a server over d until the test ends.
func serve(t *testing.T, d *mem.Driver, stream string, mw rpc.Middleware, functions map[string]rpc.Handler) {
	t.Helper()
	s, err := rpc.NewServer(d, rpc.ServerConfig{Streams: []rpc.StreamConfig{{Name: stream}}, Middleware: []rpc.Middleware{mw}})
	if err != nil {
		t.Fatal(err)
	}
	for name, h := range functions {
		s.Handle(name, h)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	for s.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
}

func client(t *testing.T, d *mem.Driver, mw rpc.Middleware) *rpc.Client {
	t.Helper()
	c, err := rpc.NewClient(t.Context(), d, rpc.ClientConfig{Middleware: []rpc.Middleware{mw}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.WithoutCancel(t.Context())) })
	return c
}

// spanTree is what was exported, by name; each name must be there once.
type spanTree map[string]tracetest.SpanStub

func (s spanTree) need(t *testing.T, name string) tracetest.SpanStub {
	t.Helper()
	span, ok := s[name]
	if !ok {
		var names []string
		for n := range s {
			names = append(names, n)
		}
		t.Fatalf("no span %q among %q", name, names)
	}
	return span
}

// collect waits until n spans were exported: a handler's span may end after its caller got the reply.
func collect(t *testing.T, exporter *tracetest.InMemoryExporter, n int) spanTree {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for len(exporter.GetSpans()) < n && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	spans := spanTree{}
	for _, s := range exporter.GetSpans() {
		if _, twice := spans[s.Name]; twice {
			t.Errorf("span %q is there twice", s.Name)
		}
		spans[s.Name] = s
	}
	if len(spans) != n {
		t.Errorf("%d spans, want %d", len(spans), n)
	}
	return spans
}

func TestTraceCrossesTheStream(t *testing.T) {
	// Two providers, as the gateway and the worker are two processes: only what the envelope carries can join them.
	exporter := tracetest.NewInMemoryExporter()
	newTracing := func() *Tracing { return NewTracing(sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))) }
	gateway, worker := newTracing(), newTracing()
	d := mem.New()
	t.Cleanup(func() { _ = d.Close(context.WithoutCancel(t.Context())) })
	workerClient := client(t, d, worker.Client())
	serve(t, d, "users", worker.Server(), map[string]rpc.Handler{
		"get user": func(_ context.Context, req *rpc.Request) (*rpc.Response, error) {
			return nil, rpc.Errorf(rpc.CodeNotFound, "no such user")
		},
	})
	serve(t, d, "posts", worker.Server(), map[string]rpc.Handler{
		"get post": func(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
			if _, err := workerClient.Call(ctx, &rpc.Request{Stream: "users", Function: "get user"}); rpc.CodeOf(err) != rpc.CodeNotFound {
				t.Error(err)
			}
			return &rpc.Response{Body: []byte(req.TraceState)}, nil
		},
	})
	gatewayClient := client(t, d, gateway.Client())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /posts/{id}", func(w http.ResponseWriter, r *http.Request) {
		req := &rpc.Request{Stream: "posts", Function: "get post"}
		resp, err := gatewayClient.Call(r.Context(), req)
		if err != nil {
			t.Error(err)
			return
		}
		if req.Trace != "" {
			t.Error("the caller's request was changed")
		}
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write(resp.Body)
		w.(http.Flusher).Flush()
	})
	server := httptest.NewServer(gateway.HTTP(mux, true))
	defer server.Close()
	const remoteTrace, remoteSpan = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/posts/7", nil)
	r.Header.Set("Traceparent", "00-"+remoteTrace+"-"+remoteSpan+"-01")
	r.Header.Set("Tracestate", "vendor=1")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted || string(body) != "vendor=1" {
		t.Errorf("status %d, tracestate at the handler %q", resp.StatusCode, body)
	}

	spans := collect(t, exporter, 7)
	parentID := remoteSpan
	for _, step := range []struct {
		name string
		kind trace.SpanKind
	}{
		{"GET /posts/{id}", trace.SpanKindServer}, {"call posts get post", trace.SpanKindClient}, {"queue posts", trace.SpanKindConsumer}, {"handle posts get post", trace.SpanKindServer},
		{"call users get user", trace.SpanKindClient}, {"queue users", trace.SpanKindConsumer}, {"handle users get user", trace.SpanKindServer},
	} {
		s := spans.need(t, step.name)
		if s.SpanContext.TraceID().String() != remoteTrace || s.Parent.SpanID().String() != parentID || s.SpanKind != step.kind {
			t.Errorf("%s: trace %s, parent %s, kind %v; want trace %s, parent %s, kind %v", step.name, s.SpanContext.TraceID(), s.Parent.SpanID(), s.SpanKind, remoteTrace, parentID, step.kind)
		}
		parentID = s.SpanContext.SpanID().String()
	}
	for name, want := range map[string]codes.Code{"call users get user": codes.Error, "handle users get user": codes.Error, "call posts get post": codes.Unset, "handle posts get post": codes.Unset} {
		if got := spans.need(t, name).Status.Code; got != want {
			t.Errorf("%s: status %v, want %v", name, got, want)
		}
	}
	queue, handle := spans.need(t, "queue posts"), spans.need(t, "handle posts get post")
	if queue.EndTime.After(handle.StartTime) || queue.StartTime.After(queue.EndTime) {
		t.Errorf("queue %v–%v, handler from %v", queue.StartTime, queue.EndTime, handle.StartTime)
	}
	attrs := map[string]string{}
	for _, a := range append(spans.need(t, "call posts get post").Attributes, spans.need(t, "GET /posts/{id}").Attributes...) {
		attrs[string(a.Key)] = a.Value.String()
	}
	if attrs["messaging.destination.name"] != "posts" || attrs["streamerson.code"] != "ok" || attrs["streamerson.queue_ms"] == "" || attrs["http.response.status_code"] != "202" {
		t.Errorf("attributes %v", attrs)
	}
}

func TestUntrustedTraceIsNotContinued(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	tr := NewTracing(sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter)))
	h := tr.HTTP(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }), false)
	r := httptest.NewRequest(http.MethodPost, "/x", nil)
	r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	h.ServeHTTP(httptest.NewRecorder(), r)
	s := collect(t, exporter, 1).need(t, "POST")
	if s.Parent.IsValid() || s.SpanContext.TraceID().String() == "0af7651916cd43dd8448eb211c80319c" || s.Status.Code != codes.Error {
		t.Errorf("%+v", s)
	}
}

// TestTraceOfTheRequest: without a span in the context, the trace context that the caller put into the request is the parent;
// a one-way message and a panic have their own marks.
func TestTraceOfTheRequest(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	tr := NewTracing(sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter)))
	var sent *rpc.Request
	send := tr.Client()(func(_ context.Context, req *rpc.Request) (*rpc.Response, error) { sent = req; return nil, nil })
	in := &rpc.Request{Stream: "mail", Function: "welcome", OneWay: true, Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	if _, err := send(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	s := collect(t, exporter, 1).need(t, "send mail welcome")
	if s.Parent.SpanID().String() != "b7ad6b7169203331" || s.SpanKind != trace.SpanKindProducer || !strings.Contains(sent.Trace, s.SpanContext.SpanID().String()) {
		t.Errorf("parent %s, kind %v, sent %s", s.Parent.SpanID(), s.SpanKind, sent.Trace)
	}
	exporter.Reset()
	handle := tr.Server()(func(context.Context, *rpc.Request) (*rpc.Response, error) { panic("boom") })
	func() {
		defer func() { _ = recover() }()
		_, _ = handle(t.Context(), sent)
	}()
	if s := collect(t, exporter, 2).need(t, "handle mail welcome"); s.Status.Code != codes.Error {
		t.Errorf("a panic's span has status %v", s.Status)
	}
}

// TestTracingOff: nothing is wrapped, so nothing is paid.
func TestTracingOff(t *testing.T) {
	tr, err := SetupTracing(t.Context(), "", "x")
	if err != nil || tr != nil {
		t.Fatal(tr, err)
	}
	var calls int
	h := func(context.Context, *rpc.Request) (*rpc.Response, error) { calls++; return nil, nil }
	req := &rpc.Request{}
	for _, mw := range []rpc.Middleware{tr.Client(), tr.Server()} {
		wrapped := mw(h)
		if n := testing.AllocsPerRun(10, func() { _, _ = wrapped(t.Context(), req) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
	mux := http.NewServeMux()
	if tr.HTTP(mux, true) != http.Handler(mux) || calls == 0 || tr.Shutdown(t.Context()) != nil {
		t.Error("tracing is not off")
	}
}

// TestSetupTracing exports to a real OTLP/HTTP endpoint, and says what is wrong with a bad one.
func TestSetupTracing(t *testing.T) {
	for endpoint, says := range map[string]string{"localhost:4318": "localhost:4318", "ftp://h": "ftp://h", "http://u:hunter2@h:1": "OTEL_EXPORTER_OTLP_HEADERS", "http://%zz": "URL"} {
		if _, err := SetupTracing(t.Context(), endpoint, "x"); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
	got := make(chan string, 10)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- r.URL.Path + " " + string(b)
	}))
	defer collector.Close()
	before := otel.GetTracerProvider()
	defer otel.SetTracerProvider(before)
	tr, err := SetupTracing(t.Context(), collector.URL, "my-service")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = tr.Client()(func(context.Context, *rpc.Request) (*rpc.Response, error) { return nil, nil })(t.Context(), &rpc.Request{Stream: "s", Function: "f"})
	if err := tr.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case s := <-got:
		// The names stand in the protobuf body as they are.
		if !strings.HasPrefix(s, "/v1/traces ") || !strings.Contains(s, "my-service") || !strings.Contains(s, "call s f") {
			t.Errorf("the collector got %q", s)
		}
	case <-time.After(5 * time.Second):
		t.Error("the collector got nothing")
	}
}
