package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/host"
	psload "github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"

	"github.com/streamerson/streamerson/bench/result"
)

// run measures the groups one after the other, prints the tables to out, and writes the files that the options name. It blocks
// until done. The error says why the run could not be made; unmet goals and failed calls are in the result, not an error. After
// an error the result has the groups that were measured before, and is written as well.
func run(ctx context.Context, o Options, groups []group, out io.Writer) (*result.Run, error) {
	self, err := o.program()
	if err != nil {
		return nil, err
	}
	o.Progress = self.Stderr
	r := &result.Run{Schema: result.Schema, Meta: meta(ctx, o)}
	start := time.Now()
	for i, g := range groups {
		p := newProgress(o.Progress, fmt.Sprintf("[%d/%d] %s", i+1, len(groups), g.name))
		if err = measureGroup(ctx, o, func() (*suite, error) { return g.start(ctx, o, self) }, r, p); err != nil {
			err = fmt.Errorf("%s: %w", g.name, err)
			break
		}
	}
	r.Meta.Took = time.Since(start)
	if len(r.Cells) == 0 && err != nil {
		return nil, err
	}
	return r, errors.Join(err, deliver(o, r, out))
}

func measureGroup(ctx context.Context, o Options, start func() (*suite, error), r *result.Run, p *progress) (err error) {
	p.say("starting")
	s, err := start()
	if err != nil {
		return err
	}
	if s.stop != nil {
		defer func() { err = errors.Join(err, s.stop()) }()
	}
	defer p.end()
	return s.measure(ctx, o, r, p.visit)
}

// deliver prints the result and writes its files.
func deliver(o Options, r *result.Run, out io.Writer) error {
	Print(out, r)
	var errs []error
	if o.JSON != "" {
		errs = append(errs, told(out, "results", o.JSON, r.Save(o.JSON)))
	}
	if o.HTML != "" {
		errs = append(errs, told(out, "report", o.HTML, writeReport(o.HTML, r)))
	}
	return errors.Join(errs...)
}

// told says where a file was written, unless it wasn't.
func told(out io.Writer, what, file string, err error) error {
	if err == nil {
		_, _ = fmt.Fprintf(out, "%s: %s\n", what, file)
	}
	return err
}

// clients whose versions are told, by their modules' paths.
var clients = map[string]string{
	"github.com/redis/go-redis/v9": "go-redis", "github.com/nats-io/nats.go": "nats.go", "github.com/segmentio/kafka-go": "kafka-go",
}

// meta is what is known before the run. What a machine doesn't tell stays empty.
func meta(ctx context.Context, o Options) result.Meta {
	m := result.Meta{
		Started: time.Now().UTC(), Command: o.Command, Seed: o.Seed,
		Versions: map[string]string{"go": strings.TrimPrefix(runtime.Version(), "go")},
		Config: map[string]string{
			"rounds": strconv.Itoa(o.Rounds), "visit": o.Visit.String(), "size": strconv.Itoa(o.Size), "calls": strconv.Itoa(o.Calls), "legs": strings.Join(o.Legs, ","),
		},
		Machine: result.Machine{Cores: runtime.NumCPU(), OS: runtime.GOOS, Arch: runtime.GOARCH},
	}
	if all, err := cpu.InfoWithContext(ctx); err == nil && len(all) > 0 {
		m.Machine.CPU = all[0].ModelName
	}
	if v, err := host.KernelVersionWithContext(ctx); err == nil {
		m.Machine.Kernel = v
	}
	if name, _, version, err := host.PlatformInformationWithContext(ctx); err == nil && name != "" {
		m.Machine.OS = strings.TrimSpace(name + " " + version)
	}
	if v, err := mem.VirtualMemoryWithContext(ctx); err == nil {
		m.Machine.Memory = v.Total
	}
	if l, err := psload.AvgWithContext(ctx); err == nil {
		m.Machine.LoadBefore = l.Load1
	}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return m
	}
	for _, d := range build.Deps {
		if name, known := clients[d.Path]; known {
			m.Versions[name] = strings.TrimPrefix(d.Version, "v")
		}
	}
	for _, s := range build.Settings {
		switch {
		case s.Key == "vcs.revision":
			m.GitVersion = s.Value + m.GitVersion
		case s.Key == "vcs.modified" && s.Value == "true":
			m.GitVersion += "+dirty"
		}
	}
	return m
}
