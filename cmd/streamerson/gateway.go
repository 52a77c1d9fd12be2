package main

import (
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/streamerson/streamerson/config"
)

func gatewayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: "Serve HTTP: each request goes to a stream, each reply back to its client",
		Long: `Listens for HTTP, puts each request on the stream that its route names, waits for the reply and answers with it. Routes are
in the configuration file.

SIGTERM or Ctrl-C drains: no new connection is taken, calls in flight are answered. A second one stops at once. SIGHUP, or a
change of the file, reads the routes again; a file with a mistake changes nothing.`,
		Example: `  streamerson gateway -c streamerson.yaml
  STREAMERSON_TRANSPORT_URL=redis://127.0.0.1:6379/0 streamerson gateway -c streamerson.yaml --listen :8080`,
		Args: cobra.NoArgs,
		RunE: runGateway,
	}
	addListenFlags(cmd.Flags())
	addAdminFlag(cmd.Flags())
	addUntilEOF(cmd)
	return cmd
}

func runGateway(cmd *cobra.Command, _ []string) error {
	ctx, stop := untilEOF(cmd)
	defer stop()
	opts := options(cmd, config.UseTransport|config.UseGateway)
	cfg, err := loadWith(configFile(cmd), opts)
	if err != nil {
		return err
	}
	if inOneProcess(cfg.Transport.URL) {
		return usageError(errMemAlone)
	}
	s, err := startService(ctx, cfg, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	defer s.close()
	client, err := s.client(ctx, "gateway")
	if err != nil {
		return err
	}
	defer closeQuietly(client.Close)
	g, err := s.newGateway(client)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.serveGateway(ctx, g) })
	group.Go(func() error {
		s.watch(ctx, opts, g.reload)
		return nil
	})
	return group.Wait()
}
