package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/streamerson/streamerson/config"
	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
)

// dlqPage is how many dead letters are read at a time.
const dlqPage = 100

func dlqCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dlq",
		Short: "Look at dead letters, run them again, or remove them",
		Long: `A request that failed for good lies in its stream's dead letter stream (posts.dead for posts) with the cause. STREAM in these
commands is the stream's own name.`,
		Example: `  streamerson dlq ls posts
  streamerson dlq show posts 1718000000000-0
  streamerson dlq replay posts --all
  streamerson dlq rm posts 1718000000000-0`,
		Args: subcommandArgs,
		RunE: helpRun,
	}
	limit := 50
	ls := &cobra.Command{
		Use: "ls STREAM", Short: "List dead letters, oldest first", Args: cobra.ExactArgs(1),
		RunE: withDead(func(ctx context.Context, cmd *cobra.Command, dead *deadStream, _ []string) error {
			return dead.list(ctx, cmd.OutOrStdout(), limit)
		}),
	}
	ls.Flags().IntVarP(&limit, "limit", "n", limit, "at most this many")
	show := &cobra.Command{
		Use: "show STREAM ID", Short: "Print one dead letter: why it failed, and the request", Args: cobra.ExactArgs(2),
		RunE: withDead(func(ctx context.Context, cmd *cobra.Command, dead *deadStream, args []string) error {
			return dead.show(ctx, cmd.OutOrStdout(), args[1])
		}),
	}
	cmd.AddCommand(ls, show,
		dlqEach("replay", "Put dead letters on their stream again", "replayed", (*deadStream).replay),
		dlqEach("rm", "Remove dead letters for good", "removed", (*deadStream).remove))
	return cmd
}

// dlqEach is a command that does something to the dead letters that are named, or to all.
func dlqEach(name, short, done string, do func(*deadStream, context.Context, *transport.Delivery) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: name + " STREAM (ID... | --all)", Short: short, Args: cobra.MinimumNArgs(1),
		RunE: withDead(func(ctx context.Context, cmd *cobra.Command, dead *deadStream, args []string) error {
			all, _ := cmd.Flags().GetBool("all")
			ids := args[1:]
			if all == (len(ids) > 0) {
				return usageError(fmt.Errorf("name the dead letters by their ids, or all of them with --all; streamerson dlq ls %s lists them", args[0]))
			}
			n := 0
			err := dead.each(ctx, ids, func(d *transport.Delivery) error {
				if err := do(dead, ctx, d); err != nil {
					return fmt.Errorf("%s: %w", d.ID, err)
				}
				n++
				return nil
			})
			fmt.Fprintf(cmd.OutOrStdout(), "%s %d\n", done, n)
			return err
		}),
	}
	cmd.Flags().Bool("all", false, "all that are there now")
	return cmd
}

// withDead opens the broker for a command whose first argument is a stream.
func withDead(run func(context.Context, *cobra.Command, *deadStream, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		stream := strings.TrimSuffix(args[0], rpc.DeadStream(""))
		if err := transport.CheckName(stream); err != nil {
			return usageError(err)
		}
		cfg, err := loadConfig(cmd, config.UseTransport)
		if err != nil {
			return err
		}
		d, err := openShared(cmd.Context(), cfg)
		if err != nil {
			return err
		}
		defer closeQuietly(d.Close)
		b, ok := d.(transport.Browser)
		if !ok || !d.Capabilities().Browse {
			return fmt.Errorf("transport %s can't be browsed: read %s with the broker's own tools", d.Capabilities().Name, rpc.DeadStream(stream))
		}
		return run(cmd.Context(), cmd, &deadStream{driver: d, browser: b, stream: stream, name: rpc.DeadStream(stream)}, args)
	}
}

// deadStream is one stream's dead letters.
type deadStream struct {
	driver       transport.Driver
	browser      transport.Browser
	stream, name string
}

// each calls f for the entries with the given ids, or for all that are there at the start; it stops at the first error.
func (s *deadStream) each(ctx context.Context, ids []string, f func(*transport.Delivery) error) error {
	wanted := map[string]bool{}
	for _, id := range ids {
		wanted[id] = true
	}
	began := time.Now()
	for after := ""; ; {
		page, err := s.browser.Browse(ctx, s.name, after, dlqPage)
		if err != nil && !transport.IsCode(err, transport.CodeNotFound) {
			return err
		}
		for i := range page {
			after = page[i].ID
			if len(ids) > 0 && !wanted[page[i].ID] {
				continue
			}
			if len(ids) == 0 && page[i].Age >= 0 && page[i].Age < time.Since(began) {
				continue // came since: a replay that failed again must not be replayed for ever
			}
			delete(wanted, page[i].ID)
			if err := f(&page[i]); err != nil {
				return err
			}
		}
		if len(page) < dlqPage || len(ids) > 0 && len(wanted) == 0 {
			break
		}
	}
	for id := range wanted {
		return fmt.Errorf("there is no dead letter %s on %s", id, s.name)
	}
	return nil
}

func (s *deadStream) list(ctx context.Context, w io.Writer, limit int) error {
	if limit < 1 {
		return usageError(errors.New("--limit must be at least 1"))
	}
	entries, err := s.browser.Browse(ctx, s.name, "", limit)
	if err != nil && !transport.IsCode(err, transport.CodeNotFound) {
		return err
	}
	if len(entries) == 0 {
		_, err := fmt.Fprintf(w, "no dead letters on %s\n", s.name)
		return err
	}
	t := newTable(table.Row{"ID", "TIME", "CAUSE", "FUNCTION", "ATTEMPTS", "ERROR"})
	for _, e := range entries {
		dead, err := rpc.ParseDeadLetter(e.Body)
		if err != nil {
			t.AppendRow(table.Row{e.ID, "", "not a dead letter", "", "", oneLine(err.Error())})
			continue
		}
		h := dead.Header
		t.AppendRow(table.Row{e.ID, h.Get(rpc.DeadHeaderTime), h.Get(rpc.DeadHeaderCause), printable(dead.Function, 40), h.Get(rpc.DeadHeaderAttempts), printable(h.Get(rpc.DeadHeaderError), 60)})
	}
	_, err = fmt.Fprintln(w, t.Render())
	return err
}

func (s *deadStream) show(ctx context.Context, w io.Writer, id string) error {
	return s.each(ctx, []string{id}, func(d *transport.Delivery) error {
		dead, err := rpc.ParseDeadLetter(d.Body)
		if err != nil {
			return err
		}
		for _, f := range dead.Header {
			fmt.Fprintf(w, "%s: %s\n", strings.TrimPrefix(f.Name, rpc.HeaderPrefix), printable(f.Value, 1<<10))
		}
		var env wire.Envelope
		if err := wire.Decode(&env, dead.Frame); err != nil {
			fmt.Fprintf(w, "\nthe request can't be decoded (%v); its %d bytes:\n%q\n", err, len(dead.Frame), excerpt(dead.Frame))
			return nil
		}
		fmt.Fprintf(w, "\n%s %s, function %s, to %s\n", env.Kind, env.ID, printable(env.Function, 200), env.Stream)
		for _, f := range env.Headers {
			fmt.Fprintf(w, "%s: %s\n", printable(f.Name, 200), printable(f.Value, 200))
		}
		fmt.Fprintf(w, "\n%d bytes of %q:\n%q\n", len(env.Body), env.ContentType, excerpt(env.Body))
		return nil
	})
}

// replay publishes the frame as it was, and removes the dead letter only when the broker has accepted it.
func (s *deadStream) replay(ctx context.Context, d *transport.Delivery) error {
	dead, err := rpc.ParseDeadLetter(d.Body)
	if err != nil {
		return err
	}
	target := dead.Header.Get(rpc.DeadHeaderStream)
	if target == "" {
		target = s.stream
	}
	if err := transport.CheckName(target); err != nil {
		return err
	}
	var result [1]transport.Result
	s.driver.Publish(ctx, []transport.Message{{Stream: target, Body: dead.Frame}}, result[:])
	switch result[0].Outcome {
	case transport.OutcomeAccepted:
		return s.remove(ctx, d)
	case transport.OutcomeRejected:
		return fmt.Errorf("not replayed, and kept: %w", result[0].Err)
	default:
		return fmt.Errorf("it is not known whether it was replayed; it is kept, so look at %s before you repeat this: %w", target, result[0].Err)
	}
}

func (s *deadStream) remove(ctx context.Context, d *transport.Delivery) error {
	_, err := s.browser.Remove(ctx, s.name, []string{d.ID})
	return err
}

// printable is text from outside, safe for a terminal and at most n bytes.
func printable(s string, n int) string {
	if len(s) > n {
		s = s[:n] + "…"
	}
	q := fmt.Sprintf("%q", s)
	return q[1 : len(q)-1]
}

func excerpt(b []byte) []byte { return b[:min(len(b), 4<<10)] }
