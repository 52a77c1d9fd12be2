package nats

import (
	"context"
	"sync"

	"github.com/streamerson/streamerson/transport"
)

// liveAtOnce bounds how many streams' consumers are asked at the same time.
const liveAtOnce = 32

var _ transport.Presence = (*Driver)(nil)

// Live implements transport.Presence: the first consumer's answer is enough, so it takes one round trip where Lag waits for all. What the
// server knows of the stream isn't asked for: a request to one that is gone makes it again.
func (d *Driver) Live(ctx context.Context, streams []string, group string, live []bool) error {
	if err := d.check("live"); err != nil {
		return err
	}
	if err := transport.CheckName(group); err != nil {
		return err
	}
	if _, up := d.link.current(); !up {
		return failMsg(transport.CodeUnavailable, "live", "", "the connection to NATS is down")
	}
	ctx, cancel := context.WithTimeout(ctx, d.set.timeout)
	defer cancel()
	var asked sync.WaitGroup
	at := make(chan struct{}, liveAtOnce)
	for i, s := range streams {
		if transport.CheckName(s) != nil {
			live[i] = true // the publish tells
			continue
		}
		if len(streams) == 1 {
			live[i] = d.presence.count(ctx, s, group, true) != 0
			continue
		}
		at <- struct{}{}
		asked.Go(func() {
			live[i] = d.presence.count(ctx, s, group, true) != 0
			<-at
		})
	}
	asked.Wait()
	return nil
}
