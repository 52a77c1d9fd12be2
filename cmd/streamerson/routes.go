package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/streamerson/streamerson/config"
	"github.com/streamerson/streamerson/transport"
)

// routesWait is how long `routes` waits for the broker: the table is useful without it.
const routesWait = 2 * time.Second

func routesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "routes",
		Short: "List the routes, and how many workers live for each",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(cmd, config.UseGateway)
			if err != nil {
				return err
			}
			workers, note := liveWorkers(cmd.Context(), cfg)
			t := newTable(table.Row{"METHOD", "PATH", "STREAM", "FUNCTION", "TIMEOUT", "BODY", "NOTES", "WORKERS"})
			for _, r := range cfg.Gateway.Routes {
				method, path, _ := strings.Cut(r.Match, " ")
				t.AppendRow(table.Row{method, strings.TrimSpace(path), r.Stream, r.Function, r.Timeout, r.BodyLimit, routeNotes(cfg, r), workers[r.Stream]})
			}
			if _, err := fmt.Fprintln(cmd.OutOrStdout(), t.Render()); err != nil {
				return err
			}
			if note != "" {
				fmt.Fprintln(cmd.ErrOrStderr(), "workers are not shown: "+note)
			}
			return nil
		},
	}
	cmd.Flags().String("group", "", "group of workers (setting worker.group)")
	return cmd
}

func routeNotes(cfg *config.Config, r config.Route) string {
	var notes []string
	if r.OneWay {
		notes = append(notes, "one-way")
	}
	if r.Pack {
		notes = append(notes, "packs")
	}
	if r.Public && cfg.Gateway.Auth.JWT != nil {
		notes = append(notes, "public")
	}
	if r.InFlight > 0 {
		notes = append(notes, "≤ "+strconv.Itoa(r.InFlight)+" at once")
	}
	return strings.Join(notes, ", ")
}

// liveWorkers asks the broker how many workers serve each stream; the note says why it is not known.
func liveWorkers(ctx context.Context, cfg *config.Config) (workers map[string]string, note string) {
	workers = map[string]string{}
	for _, r := range cfg.Gateway.Routes {
		workers[r.Stream] = "?"
	}
	switch {
	case cfg.Transport.URL == "":
		return workers, "no broker is configured"
	case inOneProcess(cfg.Transport.URL):
		return workers, "mem:// lives in one process"
	}
	ctx, cancel := context.WithTimeout(ctx, routesWait)
	defer cancel()
	d, err := transport.Default.Open(ctx, cfg.Transport.Address(), transport.Options{Logger: quietLogger})
	if err != nil {
		return workers, oneLine(err.Error())
	}
	defer closeQuietly(d.Close)
	if !d.Capabilities().LiveConsumers {
		return workers, "this broker can't tell"
	}
	for stream := range workers {
		lag, err := d.Lag(ctx, stream, cfg.Worker.Group)
		switch {
		case transport.IsCode(err, transport.CodeNotFound):
			workers[stream] = "0 (no such stream yet)"
		case err != nil:
			note = oneLine(err.Error())
		case lag.Consumers < 0:
			workers[stream] = "can't tell now"
		default:
			workers[stream] = strconv.Itoa(lag.Consumers)
		}
	}
	return workers, note
}

// newTable is a table without lines, as command line tools print them.
func newTable(header table.Row) table.Writer {
	t := table.NewWriter()
	t.AppendHeader(header)
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft = ""
	style.Box.PaddingRight = "  "
	t.SetStyle(style)
	return t
}
