package parts

import (
	"context"
	"errors"

	"github.com/streamerson/streamerson/bench/role"
)

// startCore has client and worker in one process, over the transport in memory: what rpc itself costs, without a broker.
func startCore(ctx context.Context, spec role.Spec) (*role.Part, error) {
	spec.URL = "mem://bench"
	worker, err := startRPCWorker(ctx, spec)
	if err != nil {
		return nil, err
	}
	client, err := startRPCClient(ctx, spec)
	if err != nil {
		return nil, errors.Join(err, worker.Close(ctx))
	}
	end := client.Close
	client.Close = func(ctx context.Context) error { return errors.Join(end(ctx), worker.Close(ctx)) }
	return client, nil
}
