package redis

import (
	"context"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// scriptKeys is the most streams that one script call looks at: it holds up the broker for about 0.3 ms.
const scriptKeys = 128

// chunks cuts the wants into what one script call may have: in a Cluster, one stream.
func (c *consumer) chunks() int {
	if c.d.set.mode == cluster {
		return 1
	}
	return scriptKeys
}

// claim takes over deliveries whose lease ran out or that were released, within the credits.
func (c *consumer) claim(ctx context.Context, limit int) ([]transport.Delivery, error) {
	return c.script(ctx, limit, true)
}

// poll reads new messages in exact numbers, in the order of the credits, without waiting.
func (c *consumer) poll(ctx context.Context, limit int) ([]transport.Delivery, error) {
	return c.script(ctx, limit, false)
}

func (c *consumer) script(ctx context.Context, limit int, claim bool) ([]transport.Delivery, error) {
	var all []transport.Delivery
	pool := limit
	for _, w := range c.wants {
		pool -= w.own
	}
	pool = max(pool, 0)
	for rest := c.wants; len(rest) > 0 && len(all) < limit; {
		part := rest[:min(len(rest), c.chunks())]
		rest = rest[len(part):]
		sc := call{script: pollScript, args: []any{c.group, c.name}}
		if claim {
			sc.script = claimScript
			sc.args = append(sc.args, c.lease.Milliseconds())
		}
		sc.args = append(sc.args, limit-len(all), pool)
		for _, w := range part {
			sc.keys = append(sc.keys, w.cs.st.key)
			sc.args = append(sc.args, w.n, w.own)
			if claim {
				sc.args = append(sc.args, w.cs.cursor)
			}
		}
		// Once it runs it delivers: cancelling it midway would leave what it took pending for a lease.
		c.readAt = mono()
		v, err := c.d.evalDelivering(ctx, sc)
		if err != nil {
			return all, err
		}
		ds, redelivered, deleted, err := c.rows(v, part)
		all = append(all, ds...)
		for i, n := range redelivered {
			pool -= max(0, int(n)-part[i].own)
		}
		if claim {
			c.report(part, redelivered, deleted)
		}
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

func (c *consumer) report(part []want, redelivered, deleted []int64) {
	for i, w := range part {
		if redelivered[i] > 0 {
			c.d.event(transport.Event{Kind: transport.EventRedelivered, Stream: w.cs.st.name, N: redelivered[i]})
		}
		if deleted[i] > 0 {
			c.d.event(transport.Event{Kind: transport.EventDeleted, Stream: w.cs.st.name, N: deleted[i]})
			c.d.log.Warn("deleted "+w.cs.st.name, "streamerson: pending requests had been deleted from the stream and are lost", "stream", w.cs.st.name, "n", deleted[i])
		}
	}
}

// evalDelivering runs a script whose answer must not be lost when ctx ends.
func (d *Driver) evalDelivering(ctx context.Context, sc call) (any, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		time.Sleep(wakeMost) // a silent broker: what it delivers now comes again after the lease
		cancel()
	})
	defer stop()
	v, err := d.eval(run, "receive", "", sc)
	if err != nil {
		return nil, err
	}
	return v[0], asError(v[0])
}
