package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/streamerson/streamerson/conformance/report"
)

func conformTableCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "table REPORT.json...",
		Short: "Write a table in Markdown that compares transports, from their JSON reports",
		Long: `Reads what conform --json wrote, for one or several versions of each transport, and writes a page in Markdown to standard
output: what each gives, on which versions that was tried, and what became of each scenario.`,
		Example: `  streamerson conform table redis.json nats.json kafka.json > transports.md`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var reports []*report.Report
			for _, name := range args {
				r, err := readReportFile(name)
				if err != nil {
					return usageError(fmt.Errorf("%s: %w", name, err))
				}
				reports = append(reports, r)
			}
			return report.WriteMarkdown(cmd.OutOrStdout(), reports)
		},
	}
}

func readReportFile(name string) (*report.Report, error) {
	f, err := os.Open(name) //nolint:gosec // the file that the user names
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return report.ReadJSON(f)
}
