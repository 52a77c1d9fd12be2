package role

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"

	"github.com/streamerson/streamerson/bench/load"
	"github.com/streamerson/streamerson/bench/result"
)

// Serve is the whole of a role process: it reads its orders from in and answers on out until in ends, which it also does
// when the parent dies. starters are the roles that this program knows, by name.
func Serve(ctx context.Context, starters map[string]Starter, in io.Reader, out io.Writer) error {
	lines, enc := bufio.NewScanner(in), json.NewEncoder(out)
	lines.Buffer(nil, maxLine)
	var spec Spec
	if !lines.Scan() {
		return errors.New("bench: a role process is started by the benchmark itself; run `bench redis`")
	}
	if err := json.Unmarshal(lines.Bytes(), &spec); err != nil {
		return fmt.Errorf("bench: role order: %w", err)
	}
	start, ok := starters[spec.Role]
	if !ok {
		return fmt.Errorf("bench: no role %q", spec.Role)
	}
	if spec.CPUProfile != "" {
		stop, err := profile(spec.CPUProfile)
		if err != nil {
			return err
		}
		defer stop()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p, err := start(ctx, spec)
	if err != nil {
		_ = enc.Encode(Answer{Err: err.Error()})
		return err
	}
	if err := enc.Encode(Answer{Addr: p.Addr}); err != nil {
		return err
	}
	for lines.Scan() {
		var req Request
		if err := json.Unmarshal(lines.Bytes(), &req); err != nil {
			return fmt.Errorf("bench: role order: %w", err)
		}
		if req.Op == "stop" {
			break
		}
		if err := enc.Encode(p.answer(ctx, req)); err != nil {
			return err
		}
	}
	if p.Close == nil {
		return nil
	}
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), StopTimeout)
	defer cancel()
	return p.Close(ctx)
}

func (p *Part) answer(ctx context.Context, req Request) Answer {
	switch {
	case req.Op == "run" && p.Caller != nil:
		r := load.Drive(ctx, p.Caller, req.Load)
		return Answer{Result: &r}
	case req.Op == "usage":
		return Answer{Usage: p.usage()}
	case req.Op == "collect":
		runtime.GC()
		return Answer{Usage: p.usage()}
	}
	return Answer{Err: fmt.Sprintf("this role can't %q", req.Op)}
}

func (p *Part) usage() *Usage {
	u := &Usage{CPU: load.ProcessCPU()}
	if p.Counters != nil {
		u.Counters = p.Counters()
	}
	if p.Split != nil {
		u.Split, u.Total = p.Split()
	}
	s := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	u.Allocs, u.Heap = &result.Allocs{Objects: s[0].Value.Uint64(), Bytes: s[1].Value.Uint64()}, s[2].Value.Uint64()
	return u
}

func profile(file string) (stop func(), err error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, fmt.Errorf("bench: profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { pprof.StopCPUProfile(); _ = f.Close() }, nil
}
