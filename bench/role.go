package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/pprof"
	"time"
)

// Wiring is what the program that holds the benchmark gives it, so that this package knows neither drivers nor gateways.
// The transports that a run names must be registered in transport.Default besides.
type Wiring struct {
	// Gateway serves POST /echo on ln until ctx ends: each request as a call of function "echo" on stream, over the broker
	// at url. It closes ln. Without it the gateway leg is left out, and its goals are shown as not measured.
	Gateway func(ctx context.Context, ln net.Listener, url, stream string) error
	// Worker serves stream over the broker at url with an ordinary handler until ctx ends, slots requests at once.
	Worker func(ctx context.Context, url, stream string, slots int, h http.Handler) error
}

// roleSpec is the first line that a role process reads from its standard input.
type roleSpec struct {
	Role string
	// URL of the broker, or of the HTTP server that is called.
	URL string
	// Stream of requests, for brokers.
	Stream string
	// Slots is how many requests a worker takes at once.
	Slots int
	// CPUProfile is a file to write a profile of the process's life to, "" for none.
	CPUProfile string
}

// A part is what runs in a role process. Clients are Callers as well.
type part struct {
	// addr is what others connect to, if anything.
	addr string
	// caller is set in client roles.
	caller Caller
	// counters may be nil; see Usage.Counters.
	counters func() map[string]int64
	// close ends the part and may be nil.
	close func(ctx context.Context) error
}

// Usage is what a process has used since it began.
type Usage struct {
	CPU time.Duration
	// Counters are the part's own: "publish.batches", "publish.items" and the like.
	Counters map[string]int64
}

// The messages between the parent and a role process: one JSON object a line.
type roleRequest struct {
	Op   string // "run", "usage" or "stop"; the end of input means stop
	Load Load
}

type roleAnswer struct {
	Addr   string
	Result *LoadResult
	Usage  *Usage
	Err    string
}

var roles = map[string]func(context.Context, roleSpec, Wiring) (*part, error){
	"http-server":       startHTTPServer,
	"http-proxy":        startHTTPProxy,
	"http-proxy-pooled": startHTTPProxyPooled,
	"http-client":       startHTTPClient,
	"http-load":         startHTTPLoad,
	"hand-client":       startHandClient,
	"hand-worker":       startHandWorker,
	"naive-client":      startNaiveClient,
	"naive-worker":      startNaiveWorker,
	"rpc-client":        startRPCClient,
	"rpc-worker":        startRPCWorker,
	"nats-server":       startNATSServer,
	"nats-client":       startNATSClient,
	"nats-worker":       startNATSWorker,
	"kafka-client":      startKafkaClient,
	"kafka-worker":      startKafkaWorker,
	"gateway":           startGateway,
	"web-worker":        startWebWorker,
}

// RunRole is the whole of a role process: it reads its orders from in and answers on out until in ends, which it also does
// when the parent dies. The program's main calls it through Command.
func RunRole(ctx context.Context, w Wiring, in io.Reader, out io.Writer) error {
	lines, enc := bufio.NewScanner(in), json.NewEncoder(out)
	var spec roleSpec
	if !lines.Scan() {
		return errors.New("bench: a role process is started by the benchmark itself; run `bench redis`")
	}
	if err := json.Unmarshal(lines.Bytes(), &spec); err != nil {
		return fmt.Errorf("bench: role order: %w", err)
	}
	start, ok := roles[spec.Role]
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
	p, err := start(ctx, spec, w)
	if err != nil {
		_ = enc.Encode(roleAnswer{Err: err.Error()})
		return err
	}
	if err := enc.Encode(roleAnswer{Addr: p.addr}); err != nil {
		return err
	}
	for lines.Scan() {
		var req roleRequest
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
	if p.close == nil {
		return nil
	}
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return p.close(ctx)
}

func (p *part) answer(ctx context.Context, req roleRequest) roleAnswer {
	switch {
	case req.Op == "run" && p.caller != nil:
		r := drive(ctx, p.caller, req.Load)
		return roleAnswer{Result: &r}
	case req.Op == "usage":
		u := Usage{CPU: processCPU()}
		if p.counters != nil {
			u.Counters = p.counters()
		}
		return roleAnswer{Usage: &u}
	}
	return roleAnswer{Err: fmt.Sprintf("this role can't %q", req.Op)}
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
