package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/streamerson/streamerson/config"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check, show or describe the configuration file",
		Args:  subcommandArgs,
		RunE:  helpRun,
	}
	cmd.AddCommand(configCheckCommand(), configSchemaCommand(), configShowCommand(), configEnvCommand())
	return cmd
}

func configCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Say everything that is wrong with a file, each with line and column",
		Example: `  streamerson config check streamerson.yaml
  streamerson config check --no-files streamerson.yaml     where its certificates are not`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := configFile(cmd)
			if len(args) == 1 {
				file = args[0]
			}
			if file == "" {
				return usageError(fmt.Errorf("there is no file to check: name one, as in streamerson config check %s", defaultFile))
			}
			opts := options(cmd, 0)
			opts.SkipFiles, _ = cmd.Flags().GetBool("no-files")
			cfg, err := loadWith(file, opts)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is right: %d routes, %d worker streams\n", file, len(cfg.Gateway.Routes), len(cfg.Worker.Streams))
			return err
		},
	}
	cmd.Flags().Bool("no-files", false, "don't check that certificates and keys can be read")
	return cmd
}

func configSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the file's JSON Schema, for completion in an editor",
		Example: "  streamerson config schema > streamerson.schema.json\n  # first line of streamerson.yaml: # yaml-language-server: $schema=streamerson.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := config.Schema()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", out)
			return err
		},
	}
}

func configShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Print the whole configuration in force, secrets left out",
		Long:  "Prints every setting with defaults, file and environment put together. Passwords are shown as REDACTED.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(cmd, 0)
			if err != nil {
				return err
			}
			out, err := cfg.YAML()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(out)
			return err
		},
	}
}

func configEnvCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "env",
		Short: "List the environment variables that override settings",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			names, paths := config.EnvNames()
			for _, n := range names {
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%-44s %s\n", n, paths[n]); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
