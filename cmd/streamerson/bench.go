package main

import (
	"github.com/spf13/cobra"

	"github.com/streamerson/streamerson/bench"
)

func benchCommand() *cobra.Command {
	return bench.Command(bench.Wiring{Gateway: benchGateway, Worker: benchWorker})
}
