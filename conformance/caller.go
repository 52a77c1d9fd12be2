package conformance

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/streamerson/streamerson/conformance/history"
	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

// callerConfig is what a caller does. A caller is what a gateway is to the transport: a process with one client.
type callerConfig struct {
	// Calls are made at once; with Steady each is followed by the next until SIGTERM.
	Calls  int
	Steady bool
	// Function is called with bodies "Prefix.N Takes", N from 0, or "Prefix.N.M Takes" with Steady; Takes is milliseconds.
	Function, Prefix string
	Takes            int
	Timeout          time.Duration
	NoWorkerWait     time.Duration
}

// callerPause is between one steady call and the next: in a growing queue calls would expire, and rightly so.
const callerPause = 10 * time.Millisecond

// runCaller makes its calls, and ends with the last one that had begun when ctx ended. The driver stays the caller's.
func runCaller(ctx context.Context, d transport.Driver, r *history.Recorder, cfg childConfig, say report) error {
	calls := rpc.ClientConfig{Name: cfg.Name, Timeout: cfg.Caller.Timeout, NoWorkerWait: cfg.Caller.NoWorkerWait, Observer: &counts{say: say}, Logger: slog.New(slog.DiscardHandler)}
	r.Client(&calls)
	client, err := rpc.NewClient(ctx, d, calls)
	if err != nil {
		return err
	}
	say(sayReady, cfg.Name)
	call := func(name string) {
		say(saySent, name)
		_, err := client.Call(context.Background(), &rpc.Request{
			Stream: cfg.Streams[0], Function: cfg.Caller.Function, Body: fmt.Appendf(nil, "%s %d", name, cfg.Caller.Takes),
		})
		say(sayAnswer, name+" "+rpc.CodeOf(err).String())
	}
	var wg sync.WaitGroup
	for i := range cfg.Caller.Calls {
		wg.Go(func() {
			name := fmt.Sprintf("%s.%d", cfg.Caller.Prefix, i)
			if !cfg.Caller.Steady {
				call(name)
				return
			}
			for n := 0; ctx.Err() == nil; n++ {
				call(fmt.Sprintf("%s.%d", name, n))
				time.Sleep(callerPause)
			}
		})
	}
	wg.Wait()
	<-ctx.Done()
	end, cancel := context.WithTimeout(context.Background(), childEnd)
	defer cancel()
	return client.Close(end)
}
