package bench

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Command is the `bench` command, for a program that registered its transports in transport.Default before it runs.
func Command(w Wiring) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure calls over a broker beside HTTP and the broker's bare client",
	}
	cmd.AddCommand(redisCommand(w), natsCommand(w), kafkaCommand(w), roleCommand(w))
	return cmd
}

func redisCommand(w Wiring) *cobra.Command {
	o := DefaultOptions()
	o.Wiring = w
	cmd := &cobra.Command{
		Use:   "redis",
		Short: "rpc on a Redis of its own, beside bare go-redis and net/http",
		Long: `Starts a redis-server (appendonly everysec), and the clients, workers and gateways as processes of their own; visits
all legs in turn, forwards and backwards, for several rounds; and prints the ratios that are goals, with what each leg
cost. Exits with 1 when a call failed or something stayed on the broker. A goal that isn't met is shown, not an error.`,
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Progress = cmd.ErrOrStderr()
			r, err := RunRedis(cmd.Context(), o, cmd.OutOrStdout())
			switch {
			case err != nil:
				return err
			case r.Failed() > 0:
				return fmt.Errorf("bench: %d calls failed", r.Failed())
			case r.Soak != nil && !r.Soak.Clean:
				return errors.New("bench: after the long leg something is pending or longer than its cap")
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&o.Calls, "calls", o.Calls, "calls of the long leg; 0 leaves it out")
	addRunFlags(cmd.Flags(), &o, LegHTTP, LegRPC, LegHand, LegNaive, LegProxy, LegPooled, LegGateway)
	return cmd
}

// addRunFlags adds what every broker's run takes.
func addRunFlags(f *pflag.FlagSet, o *Options, legs ...string) {
	f.IntVar(&o.Rounds, "rounds", o.Rounds, "rounds; each visits every leg twice")
	f.DurationVar(&o.Visit, "visit", o.Visit, "how long one visit of one leg takes")
	f.IntVar(&o.Size, "size", o.Size, "bytes of a body")
	f.StringSliceVar(&o.Legs, "legs", nil, "only these legs, or cells such as "+legs[1]+"@1: "+strings.Join(legs, ", "))
	f.StringVar(&o.JSON, "json", "", "write the whole report to this file")
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
