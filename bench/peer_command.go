package bench

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamerson/streamerson/bench/peers"
	"github.com/streamerson/streamerson/bench/role"
)

func peersCommand(w Wiring) *cobra.Command {
	o := DefaultOptions()
	o.Wiring, o.Rounds, o.Visit, o.Calls = w, 5, 300*time.Millisecond, 0
	tree := "."
	cmd := &cobra.Command{
		Use:   "peers",
		Short: "rpc beside other systems: gRPC, nginx, Watermill, NATS micro, NestJS, Moleculer, FastStream",
		Long: `Measures rpc beside other systems' request and reply on the same brokers, and the gateway beside nginx: at 64 calls in flight,
at 256 those that bear it, and by an open loop at one rate for all on a broker. Run scripts/install-peers.sh before, or
"make bench-peers", which does; bench/peers/README.md says how each system is set up. One that fails, wholly or in some calls,
is shown with its error. Exits with 1 when a call of ours failed. A goal that isn't met is shown, not an error.`,
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := peers.Open(tree)
			if err != nil {
				return err
			}
			groups, err := peerGroups(cmd.Context(), t, o)
			if err != nil {
				return err
			}
			return runGroups(cmd, o, groups)
		},
	}
	addRunFlags(cmd.Flags(), &o, peerLegNames()...)
	cmd.Flags().StringVar(&tree, "tree", tree, "this project's source tree, in which scripts/install-peers.sh ran")
	return cmd
}

// peerGroups are the rivals' runs, one a broker and one for those without, of which o wants a cell.
func peerGroups(ctx context.Context, t *peers.Tree, o Options) ([]group, error) {
	versions, err := t.Versions(ctx)
	if err != nil {
		return nil, err
	}
	var out []group
	for _, g := range rivalries {
		if len(o.Legs) > 0 && !slices.ContainsFunc(g.cells(), o.wants) {
			continue
		}
		out = append(out, group{g.name, func(ctx context.Context, o Options, self *role.Program) (*suite, error) {
			s, err := g.suite(ctx, t, o, self)
			if err == nil {
				s.versions = versions
			}
			return s, err
		}})
	}
	if len(out) == 0 {
		return nil, errors.New("bench: --legs names none of the legs; see bench peers --help")
	}
	return out, nil
}

// peerLegNames are all legs that the groups have.
func peerLegNames() []string {
	var out []string
	for _, g := range rivalries {
		for _, c := range g.cells() {
			if !slices.Contains(out, c.Leg) {
				out = append(out, c.Leg)
			}
		}
	}
	return out
}
