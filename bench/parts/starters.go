package parts

import (
	"context"
	"net"
	"net/http"

	"github.com/streamerson/streamerson/bench/role"
	"github.com/streamerson/streamerson/rpc"
)

// Wiring is what the program that holds the benchmark gives it, so that this package knows neither drivers nor gateways.
// The transports that a run names must be registered in transport.Default besides.
type Wiring struct {
	// Gateway serves what its order says until ctx ends, and closes the listener. Without it the gateway legs are left out, and
	// their goals are shown as not measured.
	Gateway func(ctx context.Context, o GatewayOrder) error
	// Worker serves streams with an ordinary handler until ctx ends.
	Worker func(ctx context.Context, o WorkerOrder) error
}

// GatewayOrder is what a gateway of the benchmark serves.
type GatewayOrder struct {
	Listener net.Listener
	// URL of the broker.
	URL string
	// Echo are the routes that are called: POST path as a call of function "echo" on the stream.
	Echo []EchoRoute
	// Idle is how many routes there are besides, which nobody calls.
	Idle int
	// Observer is for the gateway's rpc client.
	Observer rpc.Observer
}

// EchoRoute is one of a gateway's routes.
type EchoRoute struct {
	Path, Stream string
	Pack         bool
}

// WorkerOrder is what a worker of the benchmark serves.
type WorkerOrder struct {
	// URL of the broker.
	URL     string
	Streams []rpc.StreamConfig
	// Slots is how many requests it takes at once.
	Slots   int
	Handler http.Handler
	// Observer is for the worker's rpc server.
	Observer rpc.Observer
}

// Starters are the roles that this program can take.
func Starters(w Wiring) map[string]role.Starter {
	return map[string]role.Starter{
		"http-server":       startHTTPServer,
		"http-proxy":        startHTTPProxy,
		"http-proxy-pooled": startHTTPProxyPooled,
		"http-client":       startHTTPClient,
		"http-load":         startHTTPLoad,
		"hand-client":       StartHandClient,
		"hand-worker":       StartHandWorker,
		"naive-client":      startNaiveClient,
		"naive-worker":      startNaiveWorker,
		"core":              startCore,
		"rpc-client":        startRPCClient,
		"rpc-worker":        startRPCWorker,
		"nats-server":       startNATSServer,
		"nats-client":       startNATSClient,
		"nats-worker":       startNATSWorker,
		"kafka-client":      startKafkaClient,
		"kafka-worker":      startKafkaWorker,
		"gateway":           w.startGateway,
		"web-worker":        w.startWebWorker,
	}
}
