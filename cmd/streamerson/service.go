package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamerson/streamerson/config"
	"github.com/streamerson/streamerson/metrics"
	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

const (
	// openTimeout is how long a start waits for the broker: a wrong address shows soon, and a supervisor starts again.
	openTimeout = 10 * time.Second
	// closeTimeout bounds what closing may take after the drain: sending the last acks.
	closeTimeout = 5 * time.Second
)

// service is what a serving process has besides its gateway or worker: log, metrics, traces, the broker, the admin port.
type service struct {
	cfg     *config.Config
	log     *slog.Logger
	metrics *metrics.Metrics
	tracing *metrics.Tracing
	driver  transport.Driver
	admin   *metrics.Admin
	hangup  chan os.Signal
	// serving is set by the first check of a part: until then the process is not ready, however long opening lanes takes.
	serving atomic.Bool
}

// startService opens everything that cfg names. It blocks until the broker answered, at most openTimeout.
func startService(ctx context.Context, cfg *config.Config, logTo io.Writer) (*service, error) {
	log, err := metrics.NewLogger(cfg.Log.Level, cfg.Log.Format, logTo)
	if err != nil {
		return nil, err
	}
	slog.SetDefault(log)
	keepBallast()
	s := &service{cfg: cfg, log: log, metrics: metrics.New(metrics.Config{Version: version()}), hangup: make(chan os.Signal, 1)}
	// SIGHUP means "read the file again". From here on it never ends the process, also before watch begins, which looks at the
	// file once by itself, and where there is no file.
	signal.Notify(s.hangup, syscall.SIGHUP)
	if cfg.Tracing.Endpoint != "" && os.Getenv("OTEL_TRACES_SAMPLER") == "" {
		// The SDK reads its sampler from the environment; what an operator set there wins.
		_ = os.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
		_ = os.Setenv("OTEL_TRACES_SAMPLER_ARG", strconv.FormatFloat(cfg.Tracing.Sample, 'g', -1, 64))
	}
	if s.tracing, err = metrics.SetupTracing(ctx, cfg.Tracing.Endpoint, cfg.Tracing.Service); err != nil {
		return nil, err
	}
	if s.driver, err = openDriver(ctx, cfg, transport.Options{Logger: log, OnEvent: s.metrics.OnEvent}); err != nil {
		s.close()
		return nil, err
	}
	caps := s.driver.Capabilities()
	log.Info("broker connected", "transport", caps.Name, "version", caps.Version, "durability", caps.Durability.String(), "note", caps.DurabilityNote)
	if cfg.Admin.Listen != "" {
		s.admin, err = metrics.StartAdmin(metrics.AdminConfig{Addr: cfg.Admin.Listen, Gatherer: s.metrics.Registry(), Pprof: cfg.Admin.Pprof, Logger: log})
		if err != nil {
			s.close()
			return nil, err
		}
		s.admin.AddCheck("start", func() error {
			if !s.serving.Load() {
				return errors.New("it is still starting")
			}
			return nil
		})
		log.Info("admin port listens", "addr", s.admin.Addr())
	}
	return s, nil
}

// openDriver connects to the broker that cfg names.
func openDriver(ctx context.Context, cfg *config.Config, opts transport.Options) (transport.Driver, error) {
	openCtx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	d, err := transport.Default.Open(openCtx, cfg.Transport.Address(), opts)
	if err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("%s (transport.url from %s): %w", config.RedactURL(cfg.Transport.URL), cfg.Where("transport.url"), err)
	}
	return d, err
}

// check adds a readiness check, where there is an admin port.
func (s *service) check(name string, c metrics.Check) {
	if s.admin != nil {
		s.admin.AddCheck(name, c)
	}
	s.serving.Store(true)
}

// client makes the process's one caller.
func (s *service) client(ctx context.Context, name string) (*rpc.Client, error) {
	return rpc.NewClient(ctx, s.driver, rpc.ClientConfig{
		Name: name, Group: s.cfg.Worker.Group, Timeout: s.cfg.Gateway.Timeouts.Call.D(),
		Middleware: []rpc.Middleware{s.tracing.Client()}, Observer: s.metrics, Logger: s.log,
	})
}

// close ends what startService opened, the broker last. It may be called on a half-started service.
func (s *service) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	defer signal.Stop(s.hangup)
	var errs []error
	if s.driver != nil {
		errs = append(errs, s.driver.Close(ctx))
	}
	errs = append(errs, s.tracing.Shutdown(ctx))
	if s.admin != nil {
		errs = append(errs, s.admin.Close(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		s.log.Warn("closing", "error", err)
	}
}

// reloadable are the settings that take effect without a restart.
var reloadable = map[string]bool{"gateway.routes": true, "worker.streams": true, "worker.slots": true}

// watch gives apply each new version of the configuration file, until ctx ends. Settings that need a restart are named in
// the log. Without a file there is nothing to watch.
func (s *service) watch(ctx context.Context, opts config.Options, apply func(*config.Config) error) {
	if s.cfg.File() == "" {
		return
	}
	current := s.cfg
	config.Watch(ctx, s.cfg.File(), config.WatchConfig{
		Options: opts, Loaded: s.cfg,
		OnChange: func(next *config.Config) error {
			changed := config.Differences(current, next)
			if err := apply(next); err != nil {
				return err
			}
			s.log.Info("configuration read again", "file", next.File(), "changed", changed)
			for _, path := range changed {
				if !reloadable[path] {
					s.log.Warn("this setting takes effect at the next start only", "setting", path, "where", next.Where(path).String())
				}
			}
			current = next
			return nil
		},
		OnError: func(err error) {
			s.log.Error("configuration not used, the one before stays in force", "error", oneLine(err.Error()))
		},
	})
}

// untilEOF ends the returned context when cmd's input ends as well, if the hidden flag --until-eof is set: demo's child
// processes go away with the demo, however that ends.
func untilEOF(cmd *cobra.Command) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(cmd.Context())
	if on, _ := cmd.Flags().GetBool("until-eof"); on {
		go func() {
			_, _ = io.Copy(io.Discard, cmd.InOrStdin())
			cancel()
		}()
	}
	return ctx, cancel
}

func addUntilEOF(cmd *cobra.Command) {
	cmd.Flags().Bool("until-eof", false, "end when standard input ends")
	_ = cmd.Flags().MarkHidden("until-eof") // it exists: the line above made it
}
