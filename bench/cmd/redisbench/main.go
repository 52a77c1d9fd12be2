// Command redisbench is the bench command alone, for work on the benchmark itself.
package main

import (
	"context"
	"os"
	"os/signal"

	"github.com/spf13/cobra"

	"github.com/streamerson/streamerson/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	root := &cobra.Command{Use: "redisbench"}
	root.AddCommand(bench.Command(bench.Wiring{}))
	err := root.ExecuteContext(ctx)
	stop()
	if err != nil {
		os.Exit(1)
	}
}
