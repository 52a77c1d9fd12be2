package faults

import (
	"context"
	"log/slog"
	"os/signal"
	"syscall"
	"time"

	"github.com/streamerson/streamerson/gateway"
	"github.com/streamerson/streamerson/rpc"
)

// lameDuck is how long a gateway that was told to end asks its clients to connect anew: longer than any client of these tests
// leaves a kept connection unused, since a request may cross the closing of an idle one on its way.
const lameDuck = 2 * time.Second

// runGateway serves POST /FUNCTION for the first stream until SIGTERM, then drains.
func runGateway(cfg childConfig) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	seen := &counts{print: func(name string) { say("event", name) }}
	d, err := openDriver(ctx, cfg.URL, seen.driverEvent)
	if err != nil {
		return err
	}
	quiet := slog.New(slog.DiscardHandler)
	client, err := rpc.NewClient(ctx, d, rpc.ClientConfig{Name: cfg.Name, Observer: seen, Logger: quiet})
	if err != nil {
		return err
	}
	var routes []gateway.Route
	for _, f := range []string{"echo", "sleep", "effect"} {
		routes = append(routes, gateway.Route{Method: "POST", Path: "/" + f, Stream: cfg.Streams[0], Function: f})
	}
	g, err := gateway.New(client, gateway.Config{Routes: routes, Logger: quiet})
	if err != nil {
		return err
	}
	srv, err := gateway.NewServer(g, gateway.ServerConfig{Addr: cfg.Listen, ReusePort: true, LameDuck: lameDuck, Logger: quiet})
	if err != nil {
		return err
	}
	for g.Ready() != nil {
		time.Sleep(2 * time.Millisecond)
	}
	say("ready", cfg.Name)
	if err := srv.Run(ctx, 10*time.Second); err != nil {
		return err
	}
	end, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := client.Close(end); err != nil {
		return err
	}
	return d.Close(end)
}
