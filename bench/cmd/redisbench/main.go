// Command redisbench is the bench command alone, for work on the benchmark itself.
package main

import (
	"context"
	"os"
	"os/signal"

	"github.com/spf13/cobra"

	"github.com/streamerson/streamerson/bench"
	"github.com/streamerson/streamerson/transport"
	"github.com/streamerson/streamerson/transport/redis"
)

func main() {
	transport.Default.Register("redis", redis.Open)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	root := &cobra.Command{Use: "redisbench"}
	root.AddCommand(bench.Command(bench.Wiring{}))
	err := root.ExecuteContext(ctx)
	stop()
	if err != nil {
		os.Exit(1)
	}
}
