package main

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/streamerson/streamerson/config"
	"github.com/streamerson/streamerson/transport"
)

// defaultFile is read when it is there and no other is named.
const defaultFile = "streamerson.yaml"

func goVersion() string { return runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH }

// settingFlags are the flags that set a setting, by their name.
var settingFlags = map[string]string{
	"transport": "transport.url", "listen": "gateway.listen", "admin": "admin.listen", "log-level": "log.level", "log-format": "log.format",
	"slots": "worker.slots", "streams": "worker.streams", "forward": "worker.forward", "group": "worker.group",
}

// addSettingsFlags adds what every command takes.
func addSettingsFlags(f *pflag.FlagSet) {
	f.StringP("config", "c", "", "configuration file (default: $"+config.EnvFile+", else "+defaultFile+" if it is here)")
	f.String("transport", "", "the broker's URL, such as redis://127.0.0.1:6379/0 (setting transport.url)")
	f.String("log-level", "", "debug, info, warn or error (setting log.level)")
	f.String("log-format", "", "text or json (setting log.format)")
}

func addListenFlags(f *pflag.FlagSet) {
	f.String("listen", "", "address for HTTP, such as :8080 (setting gateway.listen)")
}

func addAdminFlag(f *pflag.FlagSet) {
	f.String("admin", "", "address for /metrics, /healthz and /readyz (setting admin.listen)")
}

func addWorkerFlags(f *pflag.FlagSet) {
	f.String("slots", "", "how many handlers run at once (setting worker.slots)")
	f.String("streams", "", "serve only these streams: a,b (setting worker.streams)")
	f.String("forward", "", "HTTP server to send the requests to, such as http://127.0.0.1:3000 (setting worker.forward)")
	f.String("group", "", "group of workers (setting worker.group)")
}

// configFile is the file to read, "" for none.
func configFile(cmd *cobra.Command) string {
	if name, _ := cmd.Flags().GetString("config"); name != "" {
		return name
	}
	if name := os.Getenv(config.EnvFile); name != "" {
		return name
	}
	if _, err := os.Stat(defaultFile); err == nil {
		return defaultFile
	}
	return ""
}

// options are what flags say, over what the file and the environment say.
func options(cmd *cobra.Command, use config.Use) config.Options {
	opts := config.Options{Use: use}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if path, ok := settingFlags[f.Name]; ok {
			opts.Overrides = append(opts.Overrides, config.Override{Path: path, Value: f.Value.String(), Source: "--" + f.Name})
		}
	})
	return opts
}

func loadConfig(cmd *cobra.Command, use config.Use) (*config.Config, error) {
	return loadWith(configFile(cmd), options(cmd, use))
}

func loadWith(file string, opts config.Options) (*config.Config, error) {
	cfg, err := config.Load(file, opts)
	if err != nil {
		return nil, err
	}
	return cfg, knownTransport(cfg)
}

// inOneProcess reports whether only this process can reach the broker.
func inOneProcess(rawURL string) bool { return strings.HasPrefix(rawURL, "mem:") }

// knownTransport checks what package config can't: whether this program has a driver for the URL.
func knownTransport(cfg *config.Config) error {
	scheme, _, ok := strings.Cut(cfg.Transport.URL, ":")
	known := transport.Default.Schemes()
	if !ok || slices.Contains(known, scheme) {
		return nil
	}
	return &config.Error{Problems: []config.Problem{{
		Position: cfg.Where("transport.url"), Path: "transport.url",
		Message: fmt.Sprintf("transport %q is not known; known are %s", scheme, strings.Join(known, ", ")),
	}}}
}

// quietLogger is for commands that ask one thing: their error says what was wrong.
var quietLogger = slog.New(slog.DiscardHandler)
