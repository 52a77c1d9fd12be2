package redis

import (
	"context"

	"github.com/streamerson/streamerson/transport"
)

var _ transport.Presence = (*Driver)(nil)

// Live implements transport.Presence, by one script call for each scriptKeys streams and all in one pipeline: some 1 µs of the broker a
// stream, where Lag takes 40. The signs of life of a stream that was deleted stand for presenceTTL at most.
func (d *Driver) Live(ctx context.Context, streams []string, group string, live []bool) error {
	if err := d.check("live"); err != nil {
		return err
	}
	if err := transport.CheckName(group); err != nil {
		return failMsg(transport.CodeInvalid, "live", "", "group: "+nameMsg(err))
	}
	ask := make([]int, 0, len(streams))
	for i, s := range streams {
		if live[i] = true; transport.CheckName(s) == nil { // of another name nothing is known: the publish tells
			ask = append(ask, i)
		}
	}
	if d.set.mode == cluster {
		_, err := d.ask(ctx, streams, group, live, ask, 1)
		return err
	}
	refused, err := d.ask(ctx, streams, group, live, ask, scriptKeys)
	if len(refused) > 0 { // one that the user may not read keeps nothing from the others
		_, err = d.ask(ctx, streams, group, live, refused, 1)
	}
	return err
}

// ask sets live of the streams at indices, so many in each call, and returns those whose call was refused.
func (d *Driver) ask(ctx context.Context, streams []string, group string, live []bool, indices []int, each int) (refused []int, err error) {
	var calls []call
	for i, k := range indices {
		if i%each == 0 {
			calls = append(calls, call{script: liveScript})
		}
		c := &calls[len(calls)-1]
		c.keys = append(c.keys, presenceKey(streams[k], group))
	}
	if len(calls) == 0 {
		return nil, nil
	}
	values, err := d.eval(ctx, "live", "", calls...)
	if err != nil {
		return nil, err
	}
	for i, k := range indices {
		if row, _ := values[i/each].([]any); i%each < len(row) {
			live[k] = asInt(row[i%each]) > 0
		} else {
			refused = append(refused, k)
		}
	}
	return refused, nil
}
