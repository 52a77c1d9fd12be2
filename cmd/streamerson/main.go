// Command streamerson runs gateways and workers: HTTP on one side, streams of a broker between them. `streamerson --help`
// says what there is; docs and examples are in the repository.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/streamerson/streamerson/config"
)

func main() {
	conformChild()
	ctx, stop := untilSignal()
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// untilSignal ends its context at the first SIGINT or SIGTERM, which begins the drain; a second one ends the process at once.
func untilSignal() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals
		fmt.Fprintln(os.Stderr, "streamerson: second signal: stopping at once, calls in flight are cut")
		os.Exit(exitSignal)
	}()
	return ctx, func() { signal.Stop(signals); cancel() }
}

// run is the program without the process: it returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	registerDrivers()
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if text := errorLine(err); text != "" {
		fmt.Fprintln(stderr, text)
	}
	return exitCode(err)
}

// errorLine is what a person sees of err: one line, or for a configuration one line for each problem.
func errorLine(err error) string {
	if c, ok := errors.AsType[*config.Error](err); ok {
		return c.Error()
	}
	if q, ok := errors.AsType[*exitError](err); ok && q.quiet {
		return ""
	}
	return "streamerson: " + oneLine(err.Error())
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// buildVersion is set by the linker (make build); without it the module's version is shown.
var buildVersion string

func version() string {
	if buildVersion != "" {
		return buildVersion
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" {
		return v
	}
	return "devel"
}
