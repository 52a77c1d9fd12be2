package faults

import (
	"context"
	"fmt"
	"log/slog"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/rpc"
)

// say prints one line for the parent.
func say(word, rest string) {
	sayMu.Lock()
	defer sayMu.Unlock()
	fmt.Println(word, rest)
}

var sayMu sync.Mutex

// runWorker serves cfg.Streams until SIGTERM.
func runWorker(cfg childConfig) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	seen := &counts{print: func(name string) { say("event", name) }}
	d, err := openDriver(ctx, cfg.URL, seen.driverEvent)
	if err != nil {
		return err
	}
	streams := make([]rpc.StreamConfig, len(cfg.Streams))
	for i, s := range cfg.Streams {
		streams[i].Name = s
	}
	quiet := slog.New(slog.DiscardHandler)
	s, err := rpc.NewServer(d, rpc.ServerConfig{
		Name: cfg.Name, Slots: cfg.Slots, Streams: streams, Lease: cfg.Lease,
		Observer: seen, Logger: quiet,
	})
	if err != nil {
		return err
	}
	w := &worker{name: cfg.Name, ledger: redis.NewClient(&redis.Options{Addr: cfg.Ledger})}
	if w.client, err = rpc.NewClient(ctx, d, rpc.ClientConfig{Name: cfg.Name, Logger: quiet}); err != nil {
		return err
	}
	for name, h := range map[string]rpc.Handler{
		"echo": w.echo, "sleep": w.sleep, "effect": w.effect, "panic": w.panic, "nested": w.nested,
	} {
		s.Handle(name, h)
	}
	go func() {
		for s.Ready() != nil {
			time.Sleep(2 * time.Millisecond)
		}
		say("ready", cfg.Name)
	}()
	if err := s.Run(ctx); err != nil {
		return err
	}
	end, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = w.client.Close(end)
	return d.Close(end)
}

// worker has the handlers.
type worker struct {
	name   string
	ledger *redis.Client
	client *rpc.Client
}

func (w *worker) echo(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
	return &rpc.Response{Body: r.Body, ContentType: r.ContentType, Header: r.Header}, nil
}

// sleep takes as many milliseconds as the body says.
func (w *worker) sleep(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
	ms, err := strconv.Atoi(string(r.Body))
	if err != nil {
		return nil, rpc.Errorf(rpc.CodeInvalidArgument, "%v", err)
	}
	time.Sleep(time.Duration(ms) * time.Millisecond)
	return &rpc.Response{Body: []byte(w.name)}, nil
}

// effect writes into the ledger that it began and ended; the body is a name and the milliseconds in between. Once it has
// begun nothing stops it: an effect that was half done would count for nothing.
func (w *worker) effect(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
	name, wait, _ := strings.Cut(string(r.Body), " ")
	bg := context.Background()
	if err := w.ledger.HIncrBy(bg, runs(r.Stream), name, 1).Err(); err != nil {
		return nil, err
	}
	if ms, err := strconv.Atoi(wait); err == nil {
		time.Sleep(time.Duration(ms) * time.Millisecond)
	}
	if err := w.ledger.HIncrBy(bg, ends(r.Stream), name, 1).Err(); err != nil {
		return nil, err
	}
	return &rpc.Response{Body: []byte(name)}, nil
}

func (w *worker) panic(context.Context, *rpc.Request) (*rpc.Response, error) { panic("on purpose") }

// nested calls echo on the stream that the request's content type names.
func (w *worker) nested(ctx context.Context, r *rpc.Request) (*rpc.Response, error) {
	return w.client.Call(ctx, &rpc.Request{Stream: r.ContentType, Function: "echo", Body: r.Body})
}
