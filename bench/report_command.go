package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/streamerson/streamerson/bench/report"
	"github.com/streamerson/streamerson/bench/result"
)

// compareCommand sets two runs' files against each other.
func compareCommand() *cobra.Command {
	alpha := report.DefaultAlpha
	cmd := &cobra.Command{
		Use:   "compare A.json B.json",
		Short: "Compare two runs: medians, ratio, and whether the difference is more than chance",
		Long: `Sets the second run against the first, for each cell that both have: the medians of the rounds, their ratio, and the
p-value of Mann and Whitney's U test over the rounds. A change is shown only where p is below --alpha, and ~ elsewhere; fewer
than four rounds a run can't show any at 0.05. Exits with 0 whatever the figures say, and with an error when the files can't
be compared.`,
		Args: cobra.ExactArgs(2), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := result.Load(args[0])
			if err != nil {
				return err
			}
			b, err := result.Load(args[1])
			if err != nil {
				return err
			}
			c, err := report.Compare(a, b, alpha)
			if err != nil {
				return err
			}
			c.Print(cmd.OutOrStdout())
			return nil
		},
	}
	cmd.Flags().Float64Var(&alpha, "alpha", alpha, "level of significance: how often chance alone may be shown as a change")
	return cmd
}

// reportCommand draws a run that was measured before.
func reportCommand() *cobra.Command {
	var html, png, into string
	cmd := &cobra.Command{
		Use:   "report RUN.json",
		Short: "Make the HTML report and the plots of a run that was measured before, or put its figures into a text",
		Long: `Makes the HTML report (--html) and the plots (--png) of a run's file. With --into it replaces, in a Markdown file, what stands
between a line <!-- RUN.json: BLOCK --> and the next <!-- end --> by the run's figures; RUN.json is the file's name without its
folder, BLOCK is run, goals, unmet or cells. docs/benchmarks.md is kept so.`,
		Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if html == "" && png == "" && into == "" {
				return errors.New("bench: name what to make: --html FILE, --png DIR, --into FILE.md")
			}
			run, err := result.Load(args[0])
			if err != nil {
				return err
			}
			if html != "" {
				if err := writeReport(html, run); err != nil {
					return err
				}
				_, _ = fmt.Fprintln(cmd.OutOrStdout(), html)
			}
			if into != "" {
				if err := writeInto(into, filepath.Base(args[0]), run); err != nil {
					return err
				}
				_, _ = fmt.Fprintln(cmd.OutOrStdout(), into)
			}
			if png == "" {
				return nil
			}
			files, err := report.WritePNG(png, run)
			for _, f := range files {
				_, _ = fmt.Fprintln(cmd.OutOrStdout(), f)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&html, "html", "", "write the report to this file")
	cmd.Flags().StringVar(&png, "png", "", "write each plot as a PNG into this directory")
	cmd.Flags().StringVar(&into, "into", "", "put the run's figures into the marked places of this Markdown file")
	return cmd
}

// writeInto changes the marked places of a Markdown file, or nothing.
func writeInto(file, name string, run *result.Run) error {
	text, err := os.ReadFile(file) //nolint:gosec // the user names it
	if err != nil {
		return fmt.Errorf("bench: report: %w", err)
	}
	out, err := report.Into(string(text), name, run)
	if err != nil {
		return fmt.Errorf("bench: %s: %w", file, err)
	}
	return os.WriteFile(file, []byte(out), 0o644) //nolint:gosec // a page is no secret
}

// writeReport replaces file by the run's HTML report.
func writeReport(file string, run *result.Run) error {
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("bench: report: %w", err)
	}
	return errors.Join(report.WriteHTML(f, run), f.Close())
}
