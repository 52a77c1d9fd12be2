package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "streamerson",
		Short: "HTTP services over streams: a gateway puts requests on a broker, workers answer them",
		Long: `Streamerson replaces HTTP between services by streams of a broker. A gateway turns each HTTP request into a message on a
stream; one of the workers that serve the stream runs it and replies; the gateway answers.

` + exitHelp,
		Example: `  streamerson dev                              gateway and workers in one process, nothing to install
  streamerson demo                             see a request go through, with its times
  streamerson gateway -c streamerson.yaml      the HTTP side
  streamerson worker -c streamerson.yaml --forward http://127.0.0.1:3000
                                               any HTTP server as a worker
  streamerson call posts 'GET /posts/7'        one call from the shell`,
		SilenceErrors: true, // run prints them, in one line
		SilenceUsage:  true,
	}
	// SuggestFor distance: "gatway" and "wroker" are near, "demo" and "dev" are not.
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(flagError)
	addSettingsFlags(root.PersistentFlags())
	root.AddGroup(&cobra.Group{ID: "run", Title: "Running:"}, &cobra.Group{ID: "look", Title: "Looking and repairing:"})
	for _, c := range []*cobra.Command{gatewayCommand(), workerCommand(), devCommand(), demoCommand(), benchCommand(), conformCommand()} {
		c.GroupID = "run"
		root.AddCommand(c)
	}
	for _, c := range []*cobra.Command{callCommand(), routesCommand(), dlqCommand(), configCommand(), versionCommand()} {
		c.GroupID = "look"
		root.AddCommand(c)
	}
	root.Args = subcommandArgs
	root.RunE = helpRun
	checkUsage(root)
	return root
}

// helpRun is what a command that only holds others does by itself.
func helpRun(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// subcommandArgs refuses what is not a subcommand, and names the nearest.
func subcommandArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	msg := fmt.Sprintf("%q is not a command of %s", args[0], cmd.CommandPath())
	if near := nearestWord(args[0], names); near != "" {
		return usageError(fmt.Errorf("%s; did you mean %s?", msg, near))
	}
	return usageError(fmt.Errorf("%s; there are %s", msg, strings.Join(names, ", ")))
}

// checkUsage makes every command's argument errors usage errors, so that they have their exit code.
func checkUsage(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := check(cmd, args)
			if err == nil {
				return nil
			}
			if e, ok := errors.AsType[*exitError](err); ok {
				return e
			}
			return usageError(fmt.Errorf("%w; it is used as: %s", err, cmd.UseLine()))
		}
	}
	for _, c := range cmd.Commands() {
		checkUsage(c)
	}
}

// flagError names the nearest flag for one that is not there.
func flagError(cmd *cobra.Command, err error) error {
	if e, ok := errors.AsType[*pflag.NotExistError](err); ok {
		name := e.GetSpecifiedName()
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		})
		dashes := "--"
		if len(name) == 1 {
			dashes = "-"
		}
		msg := fmt.Sprintf("%s has no flag %s%s", cmd.CommandPath(), dashes, name)
		if near := nearestWord(name, names); near != "" && len(name) > 1 {
			return usageError(fmt.Errorf("%s; did you mean --%s?", msg, near))
		}
		return usageError(fmt.Errorf("%s; %s --help lists them", msg, cmd.CommandPath()))
	}
	return usageError(fmt.Errorf("%w; see %s --help", err, cmd.CommandPath()))
}

// nearestWord is the word most like w, "" when none is near.
func nearestWord(w string, words []string) string {
	distance := func(s string) int { return levenshtein.ComputeDistance(strings.ToLower(w), s) }
	if len(words) == 0 {
		return ""
	}
	best := slices.MinFunc(words, func(a, b string) int { return distance(a) - distance(b) })
	if distance(best) > max(2, len(w)/3) {
		return ""
	}
	return best
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "streamerson %s (%s)\n", version(), goVersion())
			return err
		},
	}
}
