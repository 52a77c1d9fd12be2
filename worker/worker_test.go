package worker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport/mem"
	"github.com/streamerson/streamerson/worker"
)

// loop is a client and workers on one in-process broker.
type loop struct {
	t      *testing.T
	driver *mem.Driver
	rpc    *rpc.Client
	http   *http.Client
}

func newLoop(t *testing.T) *loop {
	t.Helper()
	d := mem.New()
	c, err := rpc.NewClient(t.Context(), d, rpc.ClientConfig{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	l := &loop{t: t, driver: d, rpc: c, http: &http.Client{Transport: worker.RoundTripper(c, worker.RoundTripperOptions{})}}
	t.Cleanup(func() {
		if err := errors.Join(c.Close(context.Background()), d.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	return l
}

// serve runs a worker for the streams named, until stop is called or the test ends.
func (l *loop) serve(handlers map[string]http.Handler, cfg worker.Config) (w *worker.Worker, stop func()) {
	l.t.Helper()
	by := map[string]rpc.Handler{}
	all := cfg.Streams == nil
	for name, h := range handlers {
		if all {
			cfg.Streams = append(cfg.Streams, rpc.StreamConfig{Name: name})
		}
		by[name] = worker.HTTP(h, worker.HTTPOptions{Logger: quiet})
	}
	cfg.Logger = quiet
	w, err := worker.New(l.driver, cfg, func(s *rpc.Server) { s.Fallback(worker.ByStream(by)) })
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	for w.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			l.t.Error(err)
		}
	})
	l.t.Cleanup(stop)
	return w, stop
}

func (l *loop) get(ctx context.Context, url string) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	res, err := l.http.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, string(body), err
}

// The same table as over HTTP, now over a broker.
func TestAnswersAsOverHTTPThroughABroker(t *testing.T) {
	l := newLoop(t)
	var current atomic.Value
	l.serve(map[string]http.Handler{"service": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { current.Load().(http.HandlerFunc)(w, r) })}, worker.Config{})
	noFollow := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, p := range probes {
		t.Run(p.name, func(t *testing.T) {
			current.Store(p.handler)
			d := worker.RoundTripper(direct{worker.HTTP(p.handler, worker.HTTPOptions{Logger: quiet})}, worker.RoundTripperOptions{})
			want := see(t, &http.Client{CheckRedirect: noFollow, Transport: d}, "http://service", p)
			got := see(t, &http.Client{CheckRedirect: noFollow, Transport: l.http.Transport}, "http://service", p)
			if got.Status != want.Status || got.Body != want.Body || fields(got.Header) != fields(want.Header) {
				t.Errorf("through a broker:\n%+v\ndirect:\n%+v", got, want)
			}
		})
	}
}

func TestPanicIsAnErrorAndTheWorkerLives(t *testing.T) {
	l := newLoop(t)
	l.serve(map[string]http.Handler{"s": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/panic":
			_, _ = io.WriteString(w, "half an answer")
			panic("boom")
		case "/abort":
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "fine")
	})}, worker.Config{Slots: 1})
	for range 3 {
		for _, path := range []string{"/panic", "/abort"} {
			_, _, err := l.get(t.Context(), "http://s"+path)
			e, ok := errors.AsType[*rpc.Error](err)
			if !ok || e.Code.HTTPStatus() != 500 || e.Origin != rpc.OriginRuntime {
				t.Errorf("%s: %v", path, err)
			}
		}
		if status, body, err := l.get(t.Context(), "http://s/"); err != nil || status != 200 || body != "fine" {
			t.Errorf("afterwards: %d %s %v", status, body, err)
		}
	}
}

// A handler's plain http.Client calls the next service, and who asks, under which id and until when goes along.
func TestNestedCallsInherit(t *testing.T) {
	l := newLoop(t)
	deadline := func(r *http.Request) time.Time { d, _ := r.Context().Deadline(); return d }
	var outer, inner time.Time
	l.serve(map[string]http.Handler{
		"a": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			outer = deadline(r)
			_, body, err := l.get(r.Context(), "http://b/x?y=1")
			_, _ = fmt.Fprintf(w, "a: %s %s, %s %v", worker.Identity(r), worker.RequestID(r), body, err)
		}),
		"b": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inner = deadline(r)
			_, _ = fmt.Fprintf(w, "b: %s %s %s %s", r.URL, worker.Identity(r), worker.RequestID(r), r.Header.Get("Traceparent"))
		}),
	}, worker.Config{})
	resp, err := l.rpc.Call(t.Context(), &rpc.Request{Stream: "a", Function: "f", Timeout: 3 * time.Second, Trace: "00-1", Header: rpc.Header{
		{Name: rpc.HeaderIdentity, Value: "ada"}, {Name: rpc.HeaderRequestID, Value: "r1"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if want := "a: ada r1, b: /x?y=1 ada r1 00-1 <nil>"; string(resp.Body) != want {
		t.Errorf("got  %s\nwant %s", resp.Body, want)
	}
	if outer.IsZero() || inner.Sub(outer).Abs() > 500*time.Millisecond {
		t.Errorf("the outer deadline is %v, the inner %v", outer, inner)
	}
}

func TestCancellationReachesTheHandler(t *testing.T) {
	l := newLoop(t)
	started, ended := make(chan struct{}, 1), make(chan error, 1)
	l.serve(map[string]http.Handler{"s": http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		started <- struct{}{}
		<-r.Context().Done()
		ended <- context.Cause(r.Context())
	})}, worker.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	if _, _, err := l.get(ctx, "http://s/"); !errors.Is(err, context.Canceled) {
		t.Errorf("the caller got %v", err)
	}
	select {
	case cause := <-ended:
		if !errors.Is(cause, rpc.ErrCallerGone) {
			t.Errorf("the handler's context ended with %v", cause)
		}
	case <-time.After(5 * time.Second):
		t.Error("the handler was not told")
	}
	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, _, err := l.get(short, "http://s/"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the caller got %v", err)
	}
	<-started
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("the handler was not told of its deadline")
	}
}

func TestNobodyServes(t *testing.T) {
	l := newLoop(t)
	_, _, err := l.get(t.Context(), "http://nobody/")
	if e, ok := errors.AsType[*rpc.Error](err); !ok || e.Code != rpc.CodeUnavailable {
		t.Errorf("got %v", err)
	}
}

func TestManyBodiesAtOnce(t *testing.T) {
	l := newLoop(t)
	l.serve(map[string]http.Handler{"s": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })}, worker.Config{})
	var group sync.WaitGroup
	for i := range 64 {
		group.Go(func() {
			rnd := rand.NewChaCha8([32]byte{byte(i)})
			for j := range 8 {
				body := make([]byte, []int{0, 1, 1000, keep - 1, keep, keep + 1, 1 << 20, 100}[j])
				_, _ = rnd.Read(body)
				res, err := l.http.Post("http://s/", "application/octet-stream", bytes.NewReader(body)) //nolint:noctx // the client's timeout does
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if err != nil || !bytes.Equal(got, body) {
					t.Errorf("%d bytes came back as %d, %v", len(body), len(got), err)
				}
			}
		})
	}
	group.Wait()
}

const keep = 64 << 10

// When a drain runs out of time, a handler that gives up has not answered: another worker gets the request.
func TestDrainGivesBackWhatAHandlerGaveUp(t *testing.T) {
	for name, giveUp := range map[string]func(http.ResponseWriter){
		"silently":   func(http.ResponseWriter) {},
		"with a 503": func(w http.ResponseWriter) { w.WriteHeader(503) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLoop(t)
				_, stop := l.serve(map[string]http.Handler{"s": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					<-r.Context().Done()
					giveUp(w)
				})}, worker.Config{Name: "first", DrainTimeout: time.Second})
				answered := make(chan string, 1)
				go func() {
					status, body, err := l.get(t.Context(), "http://s/")
					answered <- fmt.Sprint(status, body, err)
				}()
				time.Sleep(100 * time.Millisecond) // by now the first worker has it
				l.serve(map[string]http.Handler{"s": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "second") })}, worker.Config{Name: "second"})
				stop()
				if got := <-answered; got != fmt.Sprint(200, "second", nil) {
					t.Errorf("got %s", got)
				}
			})
		})
	}
}

func TestReload(t *testing.T) {
	l := newLoop(t)
	answer := func(s string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) })
	}
	handlers := map[string]http.Handler{"a": answer("a"), "b": answer("b")}
	w, _ := l.serve(handlers, worker.Config{Streams: []rpc.StreamConfig{{Name: "a"}, {Name: "b"}}, Slots: 4})
	if err := w.Reload(4, []rpc.StreamConfig{{Name: "b", Min: 9}}); err == nil || !strings.Contains(err.Error(), "old assignment stays") {
		t.Errorf("a bad reload: %v", err)
	}
	if _, body, err := l.get(t.Context(), "http://a/"); body != "a" || err != nil {
		t.Errorf("after a refused reload: %q %v", body, err)
	}
	if err := w.Reload(2, []rpc.StreamConfig{{Name: "b"}}); err != nil {
		t.Fatal(err)
	}
	if _, body, err := l.get(t.Context(), "http://b/"); body != "b" || err != nil {
		t.Errorf("after a reload: %q %v", body, err)
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	d := mem.New()
	defer func() { _ = d.Close(context.Background()) }()
	err := worker.Run(t.Context(), d, worker.Config{Logger: quiet}, func(*rpc.Server) { t.Error("registered") })
	if err == nil {
		t.Error("a worker without streams runs")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := worker.Run(ctx, d, worker.Config{Logger: quiet, Streams: []rpc.StreamConfig{{Name: "s"}}}, func(s *rpc.Server) { s.Fallback(worker.ByStream(nil)) }); err != nil {
		t.Errorf("a worker that is told to end at once: %v", err)
	}
}

func TestSelect(t *testing.T) {
	all := []rpc.StreamConfig{{Name: "posts", Min: 2}, {Name: "images"}, {Name: "users"}}
	for _, c := range []struct {
		only []string
		want string
		err  string
	}{
		{nil, "posts images users", ""},
		{[]string{"users", "posts"}, "posts users", ""},
		{[]string{"image"}, "", "posts, images, users"},
		{[]string{"posts", "posts"}, "", "twice"},
	} {
		got, err := worker.Select(all, c.only)
		var names []string
		for _, s := range got {
			names = append(names, s.Name)
		}
		if strings.Join(names, " ") != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%v: %v, %v", c.only, names, err)
		}
	}
	got, _ := worker.Select(all, []string{"posts"})
	if got[0].Min != 2 {
		t.Error("the stream's settings are lost")
	}
}

func TestByStreamNamesWhatIsMissing(t *testing.T) {
	_, err := worker.ByStream(map[string]rpc.Handler{})(t.Context(), &rpc.Request{Stream: "posts"})
	if rpc.CodeOf(err) != rpc.CodeUnimplemented || !strings.Contains(err.Error(), "posts") {
		t.Errorf("got %v", err)
	}
}
