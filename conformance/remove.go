package conformance

import (
	"context"
	"errors"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

// removeAtOnce is how many streams one DeleteStreams is given: what a broker deletes within a client's time limit.
const removeAtOnce = 20

// Remove deletes streams that the suite has used (Harness.OnStream), and the dead letter streams beside them, so that a shared
// broker is left as it was. It blocks until they are gone or ctx ends. A driver that is no transport.StreamDeleter is an error
// with CodeUnsupported. It keeps nothing of streams.
func Remove(ctx context.Context, h Harness, streams []string) error {
	d, err := h.Open(ctx)
	if err != nil {
		return err
	}
	deleter, ok := d.(transport.StreamDeleter)
	if !ok {
		return errors.Join(&transport.Error{Code: transport.CodeUnsupported, Op: "delete", Msg: "the driver is no transport.StreamDeleter: the suite's streams are still there"}, d.Close(ctx))
	}
	all := make([]string, 0, 2*len(streams))
	for _, s := range streams {
		all = append(all, s)
		if dead := rpc.DeadStream(s); transport.CheckName(dead) == nil {
			all = append(all, dead)
		}
	}
	for len(all) > 0 && err == nil {
		n := min(removeAtOnce, len(all))
		err = deleter.DeleteStreams(ctx, all[:n])
		all = all[n:]
	}
	return errors.Join(err, d.Close(ctx))
}
