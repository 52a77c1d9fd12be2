package bench

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/streamerson/streamerson/bench/result"
	"github.com/streamerson/streamerson/bench/workload"
)

// Command is the `bench` command, for a program that registered its transports in transport.Default before it runs.
func Command(w Wiring) *cobra.Command {
	list := false
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure calls over a broker beside HTTP and the broker's bare client",
		Long: `Measures on this machine what a call over a broker costs beside HTTP, the brokers' bare clients and other systems. All that
is compared is visited in turn, forwards and backwards, for several rounds; ratios are medians of the rounds' ratios. Every
reply is checked. Brokers are started for the run; nothing else on the machine is touched, and nothing else should run.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if list {
				return listPresets(cmd.OutOrStdout())
			}
			return cmd.Help()
		},
	}
	cmd.Flags().BoolVar(&list, "list", false, "list the workloads that come with the program")
	cmd.AddCommand(allCommand(w), runCommand(w))
	for _, s := range selections {
		cmd.AddCommand(s.command(w))
	}
	cmd.AddCommand(peersCommand(w), compareCommand(), reportCommand(), roleCommand(w))
	return cmd
}

func listPresets(out io.Writer) error {
	for _, name := range workload.Names() {
		p, err := workload.Preset(name)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%-14s %s\n", name, p.About); err != nil {
			return err
		}
	}
	return nil
}

// selection is a command that runs one group.
type selection struct {
	group       group
	short, long string
	// legs are shown in --help.
	legs []string
}

var selections = []selection{
	{redisGroup, "rpc on a Redis of its own, beside bare go-redis and net/http",
		`Starts a redis-server (appendonly everysec), and the clients, workers and gateways as processes of their own; visits
all legs in turn, forwards and backwards, for several rounds; and prints the ratios that are goals, with what each leg
cost. Exits with 1 when a call failed or something stayed on the broker. A goal that isn't met is shown, not an error.`,
		[]string{LegHTTP, LegRPC, LegPacked, LegHand, LegNaive, LegCore, LegProxy, LegPooled, LegGateway, LegGatewayPacked, LegRoutes}},
	{streamsGroup, "rpc on Redis over 1,000 streams, beside one stream",
		`Starts a redis-server, a client and a worker of one stream and a client and a worker of a thousand, visits both in turn, forwards
and backwards, for several rounds, and prints what a call costs. Exits with 1 when a call failed.`,
		[]string{LegRPC, LegStreams}},
	{natsGroup, "rpc on JetStream and on core NATS, beside nc.Request",
		`Starts a nats-server, and the clients and workers as processes of their own; visits all legs in turn, forwards and
backwards, for several rounds; and prints the ratios that are goals, with what each leg cost. Exits with 1 when a call
failed. A goal that isn't met is shown, not an error.`,
		[]string{LegNATS, LegNATSPacked, LegNATSCore, LegNATSNoDedup, LegNATSRequest, LegHTTP}},
	{kafkaGroup, "rpc on Kafka, beside rpc on Redis and kafka-go's Writer and Reader",
		`Starts a Kafka and a redis-server, and the clients and workers as processes of their own; lets the JVM become as fast as it
stays, which takes half a minute; visits all legs in turn, forwards and backwards, for several rounds; and prints the ratios
that are goals, with what each leg cost. Exits with 1 when a call failed. A goal that isn't met is shown, not an error.`,
		[]string{LegKafka, LegRPC, LegKafkaWriter}},
}

func (s selection) command(w Wiring) *cobra.Command {
	o := DefaultOptions()
	o.Wiring = w
	cmd := &cobra.Command{
		Use: s.group.name, Short: s.short, Long: s.long, Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return runGroups(cmd, o, []group{s.group}) },
	}
	addRunFlags(cmd.Flags(), &o, s.legs...)
	if s.group.name == redisGroup.name {
		cmd.Flags().IntVar(&o.Calls, "calls", o.Calls, "calls of the long leg, whose memory is watched; 0 leaves it out")
	}
	return cmd
}

// runGroups runs and turns what failed into an error.
func runGroups(cmd *cobra.Command, o Options, groups []group) error {
	o.Progress, o.Command = cmd.ErrOrStderr(), commandLine(cmd)
	r, err := run(cmd.Context(), o, groups, cmd.OutOrStdout())
	switch {
	case err != nil:
		return err
	case r.Failed() > failedByRivals(r):
		return fmt.Errorf("bench: %d calls failed", r.Failed()-failedByRivals(r))
	case slices.ContainsFunc(r.Soaks, func(s result.Soak) bool { return !s.Clean }):
		return fmt.Errorf("bench: after the long leg something is pending or longer than its cap")
	}
	return nil
}

// failedByRivals are calls that failed in systems that are not ours: reported, but no reason to fail.
func failedByRivals(r *result.Run) int {
	n := 0
	for _, c := range r.Cells {
		if l := r.Leg(c.Leg); l != nil && l.Rival {
			for _, rd := range c.Rounds {
				n += rd.Failed()
			}
		}
	}
	return n
}

// commandLine is the command with the flags that were given, without the program's folder.
func commandLine(cmd *cobra.Command) string {
	line := []string{filepath.Base(cmd.CommandPath())}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		line = append(line, fmt.Sprintf("--%s=%s", f.Name, strings.Trim(f.Value.String(), "[]")))
	})
	return strings.Join(append(line, cmd.Flags().Args()...), " ")
}

// addRunFlags adds what every run takes.
func addRunFlags(f *pflag.FlagSet, o *Options, legs ...string) {
	f.IntVar(&o.Rounds, "rounds", o.Rounds, "rounds; each visits every cell twice")
	f.DurationVar(&o.Visit, "visit", o.Visit, "how long one visit of one cell takes")
	f.IntVar(&o.Size, "size", o.Size, "bytes of a body, in cells that have no workload of their own")
	which := ""
	if len(legs) > 0 {
		which = ": " + strings.Join(legs, ", ")
	}
	f.StringSliceVar(&o.Legs, "legs", nil, "only these legs, or cells such as redis-rpc@1"+which)
	f.Uint64Var(&o.Seed, "seed", o.Seed, "seed of arrival times, sizes and kinds of calls")
	f.StringVar(&o.JSON, "json", "", "write the whole result to this file")
	f.StringVar(&o.HTML, "html", "", "write the report to this file")
	f.StringVar(&o.ProfileDir, "cpuprofile", "", "write a CPU profile of each process into this directory")
}

func roleCommand(w Wiring) *cobra.Command {
	return &cobra.Command{
		Use: "role", Hidden: true, Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return RunRole(cmd.Context(), w, cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}
