package nats

import (
	"context"

	"github.com/streamerson/streamerson/transport"
)

// replySet is the replies of one batch of settlements. Neighbours that share a reply have it here once, and get its outcome.
type replySet struct {
	msgs []transport.Message
	last *transport.Message
	// of is for each settlement the number of its reply in msgs, from 1 on; 0 if it has none that may be published.
	of []int
}

// add takes the reply of settlement i of n; they are added in the order of the batch.
func (r *replySet) add(i, n int, reply *transport.Message) {
	if r.of == nil {
		r.of = make([]int, n)
	}
	if reply != r.last {
		r.last, r.msgs = reply, append(r.msgs, *reply)
	}
	r.of[i] = len(r.msgs)
}

// publish sends them, and sets the error of each settlement that was added.
func (r *replySet) publish(ctx context.Context, d *Driver, errs []error) {
	if len(r.msgs) == 0 {
		return
	}
	results := make([]transport.Result, len(r.msgs))
	d.Publish(ctx, r.msgs, results)
	for i, k := range r.of {
		if k > 0 {
			errs[i] = results[k-1].Err
		}
	}
}
