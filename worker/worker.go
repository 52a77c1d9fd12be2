package worker

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

// Config has the settings of a worker: a server's, see there. Streams are those that this worker serves; Select picks them
// by name.
type Config = rpc.ServerConfig

// Worker is one process's share of a group: an rpc.Server with its handlers, and log lines for the people who run it. Its
// methods may be called concurrently.
type Worker struct {
	server *rpc.Server
	log    *slog.Logger
	group  string
}

// New makes a worker and lets register add its handlers; nothing is read before Run. The driver stays the caller's. The
// error names the setting that is wrong.
func New(d transport.Driver, cfg Config, register func(*rpc.Server)) (*Worker, error) {
	s, err := rpc.NewServer(d, cfg)
	if err != nil {
		return nil, err
	}
	register(s)
	w := &Worker{server: s, log: cfg.Logger, group: cfg.Group}
	if w.log == nil {
		w.log = slog.Default()
	}
	if w.group == "" {
		w.group = rpc.DefaultGroup
	}
	w.log = w.log.With("group", w.group)
	w.log.Info("worker made", "streams", names(cfg.Streams), "slots", cfg.Slots)
	return w, nil
}

// Run serves until ctx ends, then drains: nothing more is taken, running handlers get up to Config.DrainTimeout, and what
// was not started is given back. It returns nil after that, and an error only when it can't start; see rpc.Server.Run.
func (w *Worker) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { w.log.Info("worker drains: running handlers end, nothing more is taken") })
	defer stop()
	err := w.server.Run(ctx)
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	w.log.Info("worker stopped")
	return nil
}

// Ready reports nil while the worker receives requests; otherwise why not. It does not block.
func (w *Worker) Ready() error { return w.server.Ready() }

// Reload swaps slots and streams while running; running handlers end under the old assignment. On an error, which names the
// setting, nothing has changed.
func (w *Worker) Reload(slots int, streams []rpc.StreamConfig) error {
	if err := w.server.Reconfigure(slots, streams); err != nil {
		return fmt.Errorf("worker: reload refused, the old assignment stays: %w", err)
	}
	w.log.Info("worker reloaded", "streams", names(streams), "slots", slots)
	return nil
}

// Run is New and Worker.Run in one.
func Run(ctx context.Context, d transport.Driver, cfg Config, register func(*rpc.Server)) error {
	w, err := New(d, cfg, register)
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

// Select returns the streams that only names, in the order of streams: all of them when only is empty. This is how one
// binary with one file serves everything, or is deployed again for one busy stream. A name that isn't there, or stands
// twice, is an error.
func Select(streams []rpc.StreamConfig, only []string) ([]rpc.StreamConfig, error) {
	if len(only) == 0 {
		return slices.Clone(streams), nil
	}
	for i, name := range only {
		switch {
		case slices.Contains(only[:i], name):
			return nil, fmt.Errorf("worker: stream %q is named twice", name)
		case !slices.ContainsFunc(streams, func(s rpc.StreamConfig) bool { return s.Name == name }):
			return nil, fmt.Errorf("worker: stream %q is not configured; there are %s", name, strings.Join(names(streams), ", "))
		}
	}
	var picked []rpc.StreamConfig
	for _, s := range streams {
		if slices.Contains(only, s.Name) {
			picked = append(picked, s)
		}
	}
	return picked, nil
}

// ByStream sends each request to the handler of its stream, for a server's Fallback when several services live in one
// process. A stream without one is CodeUnimplemented. The map must not change afterwards.
func ByStream(handlers map[string]rpc.Handler) rpc.Handler {
	return func(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
		h := handlers[req.Stream]
		if h == nil {
			return nil, runtimeError(rpc.CodeUnimplemented, "no handler for stream %q in this worker", req.Stream)
		}
		return h(ctx, req)
	}
}

func names(streams []rpc.StreamConfig) []string {
	list := make([]string, len(streams))
	for i, s := range streams {
		list[i] = s.Name
	}
	return list
}
