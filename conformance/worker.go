package conformance

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/streamerson/streamerson/conformance/history"
	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

// workerConfig is how a worker serves.
type workerConfig struct {
	Slots       int
	Lease       time.Duration
	MaxAttempts int
	RetryDelays []time.Duration
	Drain       time.Duration
}

// Functions that workers serve. The body of one that has effects is a name and, after a blank, the milliseconds that it takes.
const (
	fnEcho   = "echo"   // answers with what it got
	fnEffect = "effect" // reports that it began and ended
	fnStall  = "stall"  // as effect, but takes its time in its first run only, and answers with the worker's name
	fnWatch  = "watch"  // as effect, but ends when its context does; the cause is counted as "cause-…"
	fnFail   = "fail"   // returns an error
	fnPlain  = "plain"  // returns an error that is no *rpc.Error
	fnPanic  = "panic"
	fnCrash  = "crash"  // ends its process
	fnNested = "nested" // calls echo on the stream that the content type names
)

// worker has the handlers of one server.
type worker struct {
	name   string
	say    report
	client *rpc.Client
	marks  string // a directory of the scenario's
}

// runWorker serves until ctx ends. The driver stays the caller's.
func runWorker(ctx context.Context, d transport.Driver, r *history.Recorder, cfg childConfig, say report) error {
	seen := &counts{say: say}
	streams := make([]rpc.StreamConfig, len(cfg.Streams))
	for i, s := range cfg.Streams {
		streams[i].Name = s
	}
	quiet := slog.New(slog.DiscardHandler)
	serve := rpc.ServerConfig{
		Name: cfg.Name, Slots: cfg.Worker.Slots, Streams: streams, Lease: cfg.Worker.Lease, MaxAttempts: cfg.Worker.MaxAttempts, RetryDelays: cfg.Worker.RetryDelays,
		DrainTimeout: cfg.Worker.Drain, Observer: seen, Logger: quiet,
	}
	r.Server(&serve)
	s, err := rpc.NewServer(d, serve)
	if err != nil {
		return err
	}
	w := &worker{name: cfg.Name, say: say, marks: filepath.Dir(cfg.History)}
	call := rpc.ClientConfig{Name: cfg.Name, Observer: seen, Logger: quiet}
	r.Client(&call)
	if w.client, err = rpc.NewClient(ctx, d, call); err != nil {
		return err
	}
	for name, h := range map[string]rpc.Handler{
		fnEcho: w.echo, fnEffect: w.effect, fnStall: w.stall, fnWatch: w.watch, fnFail: w.fail, fnPlain: w.plain, fnPanic: w.panic,
		fnCrash: w.crash, fnNested: w.nested,
	} {
		s.Handle(name, h)
	}
	ready := make(chan struct{})
	go func() {
		defer close(ready)
		for s.Ready() != nil && ctx.Err() == nil {
			time.Sleep(2 * time.Millisecond)
		}
		say(sayReady, cfg.Name)
	}()
	err = s.Run(ctx)
	end, cancel := context.WithTimeout(context.Background(), childEnd)
	defer cancel()
	_ = w.client.Close(end)
	if err == nil {
		<-ready
	}
	return err
}

func (w *worker) echo(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
	return &rpc.Response{Body: r.Body, ContentType: r.ContentType, Header: r.Header}, nil
}

// named splits the body of a request with effects.
func named(r *rpc.Request) (name string, takes time.Duration) {
	name, ms, _ := strings.Cut(string(r.Body), " ")
	n, _ := strconv.Atoi(ms) // none is 0
	return name, time.Duration(n) * time.Millisecond
}

// effect is stopped by nothing once it has begun: an effect that was half done would count for nothing.
func (w *worker) effect(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
	name, takes := named(r)
	w.say(sayBegin, name)
	time.Sleep(takes)
	w.say(sayEnd, name)
	return &rpc.Response{Body: []byte(name)}, nil
}

func (w *worker) stall(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
	name, takes := named(r)
	w.say(sayBegin, name)
	// The first run of all workers' leaves a mark; attempts won't do, a transport may miss one when a worker is killed.
	mark, err := os.OpenFile(filepath.Join(w.marks, "stalled-"+name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // in the directory of the history
	if err == nil {
		_ = mark.Close()
		time.Sleep(takes)
	}
	w.say(sayEnd, name)
	return &rpc.Response{Body: []byte(w.name)}, nil
}

func (w *worker) watch(ctx context.Context, r *rpc.Request) (*rpc.Response, error) {
	name, takes := named(r)
	w.say(sayBegin, name)
	select {
	case <-ctx.Done():
		w.say(sayCount, "cause-"+context.Cause(ctx).Error())
	case <-time.After(takes):
	}
	w.say(sayEnd, name)
	return &rpc.Response{Body: []byte(name)}, nil
}

func (w *worker) fail(context.Context, *rpc.Request) (*rpc.Response, error) {
	return nil, rpc.Errorf(rpc.CodeFailedPrecondition, "on purpose")
}

func (w *worker) plain(context.Context, *rpc.Request) (*rpc.Response, error) {
	return nil, os.ErrPermission
}

func (w *worker) panic(context.Context, *rpc.Request) (*rpc.Response, error) { panic("on purpose") }

func (w *worker) crash(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
	w.say(sayCount, "crash-"+strconv.Itoa(r.Attempt))
	os.Exit(crashStatus)
	return nil, nil
}

func (w *worker) nested(ctx context.Context, r *rpc.Request) (*rpc.Response, error) {
	return w.client.Call(ctx, &rpc.Request{Stream: r.ContentType, Function: fnEcho, Body: r.Body})
}
