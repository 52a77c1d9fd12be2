package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamerson/streamerson/config"
	"github.com/streamerson/streamerson/conformance"
	"github.com/streamerson/streamerson/conformance/report"
	"github.com/streamerson/streamerson/transport"
)

// conformFlags are the flags of `streamerson conform`.
type conformFlags struct {
	broker       string
	only, areas  []string
	slow         float64
	short, list  bool
	junit, json  string
	seed         uint64
	seedWasGiven bool
}

func conformCommand() *cobra.Command {
	var f conformFlags
	cmd := &cobra.Command{
		Use:   "conform",
		Short: "Certify a transport: run the conformance suite on it and report each scenario",
		Long: `Runs the scenarios of the conformance suite, one after the other, on a broker: with --transport on one that runs already, with
--broker on one that is started for the run, that may be killed, stopped and wiped. What a broker at an address can't show
(a crash, a restart) is reported as not run. All names begin with a random prefix, so that a shared broker keeps what it has;
the suite's own streams are removed at the end where the transport can.

A scenario ends as passed; as refused: the transport declares that it can't, and was seen to say so; as not run, with the
reason; or as failed. Exits with 1 when one failed. Ctrl-C ends the run early, with a report of what was done.`,
		Example: `  streamerson conform --broker redis
  streamerson conform --transport nats://127.0.0.1:4222 --junit report.xml --json report.json
  streamerson conform --broker kafka --only roundtrip,lease-expiry --slow 3
  streamerson conform --list --area rpc`,
		Args: subcommandArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.seedWasGiven = cmd.Flags().Changed("seed")
			return runConform(cmd, f)
		},
	}
	cmd.Flags().StringVar(&f.broker, "broker", "", "start a broker for the run: "+strings.Join(testBrokerNames(), ", "))
	cmd.Flags().StringSliceVar(&f.only, "only", nil, "only these scenarios: a,b")
	cmd.Flags().StringSliceVar(&f.areas, "area", nil, "only scenarios of these areas: a,b")
	cmd.Flags().Float64Var(&f.slow, "slow", 1, "multiply every wait and time limit, for slow brokers and machines")
	cmd.Flags().BoolVar(&f.short, "short", false, "make the longest scenarios smaller")
	cmd.Flags().BoolVar(&f.list, "list", false, "print the scenarios and what each demands, and end")
	cmd.Flags().StringVar(&f.junit, "junit", "", "write the report as JUnit XML to this file")
	cmd.Flags().StringVar(&f.json, "json", "", "write the report as JSON to this file")
	cmd.Flags().Uint64Var(&f.seed, "seed", 0, "make random choices again as in the run that printed this seed (default: a new one)")
	cmd.AddCommand(conformTableCommand())
	return cmd
}

func runConform(cmd *cobra.Command, f conformFlags) error {
	h := conformance.Harness{Only: f.only, Slow: f.slow, Short: f.short}
	if err := f.check(&h); err != nil {
		return usageError(err)
	}
	scenarios := conformance.Scenarios(h)
	if f.list {
		report.PrintList(cmd.OutOrStdout(), scenarios)
		return nil
	}
	if len(scenarios) == 0 {
		return usageError(errors.New("no scenario is in --only and in --area: leave one of them out"))
	}
	// The files are made first: a path that can't be written should not cost a run.
	files, err := f.openFiles()
	if err != nil {
		return usageError(err)
	}
	defer files.close()
	stop, err := f.connect(cmd, &h)
	if err != nil {
		return err
	}
	defer stop()
	var made madeStreams
	h.OnStream = made.add
	watcher := newConformProgress(cmd.ErrOrStderr(), len(scenarios))
	rep, err := report.Run(cmd.Context(), h, scenarios, watcher)
	watcher.done()
	if err != nil {
		return err
	}
	rep.Broker, rep.Seed = f.name(h), f.seed
	if f.broker == "" {
		made.remove(cmd, h)
	}
	rep.Print(cmd.OutOrStdout())
	if err := files.write(rep); err != nil {
		return err
	}
	if err := rep.Err(); err != nil {
		return &exitError{err: err, code: exitFailed}
	}
	if cmd.Context().Err() != nil {
		return &exitError{err: errors.New("interrupted: the report has what was done until then"), code: exitSignal}
	}
	return nil
}

// check refuses flags that can't be right, and names the nearest that can.
func (f *conformFlags) check(h *conformance.Harness) error {
	var names, areas []string
	for _, s := range conformance.Scenarios(conformance.Harness{}) {
		names = append(names, s.Name)
		if !slices.Contains(areas, string(s.Area)) {
			areas = append(areas, string(s.Area))
		}
	}
	for _, name := range f.only {
		if !slices.Contains(names, name) {
			return notThere("--only", "scenario", name, names, "streamerson conform --list shows them")
		}
	}
	for _, area := range f.areas {
		if !slices.Contains(areas, area) {
			return notThere("--area", "area", area, areas, "there are "+strings.Join(areas, ", "))
		}
		h.Areas = append(h.Areas, conformance.Area(area))
	}
	if !(f.slow > 0 && f.slow <= 100) { // NaN is neither
		return fmt.Errorf("--slow %v must be more than 0 and at most 100, such as 2", f.slow)
	}
	if !f.seedWasGiven {
		f.seed = 1 + rand.Uint64N(math.MaxUint64) // 0 would mean that the suite chooses
	}
	h.Seed = f.seed
	return nil
}

func notThere(flag, kind, name string, all []string, help string) error {
	if near := nearestWord(name, all); near != "" {
		return fmt.Errorf("%s: there is no %s %q; did you mean %s?", flag, kind, name, near)
	}
	return fmt.Errorf("%s: there is no %s %q; %s", flag, kind, name, help)
}

// connect gives h a broker: the one that --broker starts, or the one that the settings name. stop ends what was started.
func (f *conformFlags) connect(cmd *cobra.Command, h *conformance.Harness) (stop func(), err error) {
	if f.broker != "" {
		if cmd.Flags().Changed("transport") {
			return nil, usageError(errors.New("--broker starts a broker and --transport names one that runs: give one of them"))
		}
		b, err := startTestBroker(cmd.Context(), f.broker)
		if err != nil {
			return nil, err
		}
		h.URL, h.Broker, h.Takeover = b.url, b.control, b.takeover
		h.Open = func(ctx context.Context) (transport.Driver, error) { return openQuietly(ctx, b.url) }
		if b.via != nil {
			h.Addr, h.OpenVia = b.addr, func(ctx context.Context, addr string) (transport.Driver, error) { return openQuietly(ctx, b.via(addr)) }
		}
		return b.stop, nil
	}
	cfg, err := loadConfig(cmd, config.UseTransport)
	if _, ok := errors.AsType[*config.Error](err); ok && !cmd.Flags().Changed("transport") && configFile(cmd) == "" {
		err = usageError(fmt.Errorf("there is nothing to certify: start a broker with --broker %s, or name one that runs with --transport URL", strings.Join(testBrokerNames(), "|")))
	}
	if err != nil {
		return nil, err
	}
	h.URL = cfg.Transport.Address()
	h.Open = func(ctx context.Context) (transport.Driver, error) {
		return openDriver(ctx, cfg, transport.Options{Logger: quietLogger})
	}
	return func() {}, nil
}

// name is what the report calls the transport; never the URL, which may hold a password.
func (f *conformFlags) name(h conformance.Harness) string {
	if f.broker != "" {
		return f.broker
	}
	scheme, _, _ := strings.Cut(h.URL, ":")
	return scheme
}

// madeStreams are the names that the suite has used on somebody's broker.
type madeStreams struct {
	mu    sync.Mutex
	names []string
}

func (m *madeStreams) add(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.names = append(m.names, name)
}

// removeTimeout is for some hundred streams; a Kafka takes up to half a second for each.
const removeTimeout = 2 * time.Minute

// remove also works after an interruption. What can't be removed is told, not an error: the certificate stands.
func (m *madeStreams) remove(cmd *cobra.Command, h conformance.Harness) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), removeTimeout)
	defer cancel()
	if err := conformance.Remove(ctx, h, m.names); err != nil && len(m.names) > 0 {
		prefix, _, _ := strings.Cut(m.names[0], ".")
		fmt.Fprintf(cmd.ErrOrStderr(), "streams whose names begin with %s. are left on the broker: %s\n", prefix, oneLine(err.Error()))
	}
}

// reportFiles are the files that the report goes to.
type reportFiles map[*os.File]func(*report.Report, io.Writer) error

func (f *conformFlags) openFiles() (reportFiles, error) {
	files := reportFiles{}
	for _, x := range []struct {
		flag, path string
		write      func(*report.Report, io.Writer) error
	}{{"--junit", f.junit, (*report.Report).WriteJUnit}, {"--json", f.json, (*report.Report).WriteJSON}} {
		if x.path == "" {
			continue
		}
		file, err := os.Create(x.path)
		if err != nil {
			files.close()
			return nil, fmt.Errorf("%s: %w", x.flag, err)
		}
		files[file] = x.write
	}
	return files, nil
}

func (fs reportFiles) write(r *report.Report) error {
	var errs []error
	for file, write := range fs {
		errs = append(errs, write(r, file), file.Close())
		delete(fs, file)
	}
	return errors.Join(errs...)
}

// close leaves no empty file behind where there was no report to write.
func (fs reportFiles) close() {
	for file := range fs {
		_ = file.Close()
		_ = os.Remove(file.Name())
	}
}
