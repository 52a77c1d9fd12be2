package kafka

import (
	"context"

	"github.com/streamerson/streamerson/transport"
)

var _ transport.StreamDeleter = (*Driver)(nil)

// DeleteStreams deletes the streams' topics, and waits until a broker no longer knows them. What their groups committed expires
// by the broker's offsets.retention.minutes.
func (d *Driver) DeleteStreams(ctx context.Context, streams []string) error {
	if err := d.check("delete"); err != nil {
		return err
	}
	for _, s := range streams {
		if err := checkStream("delete", s); err != nil {
			return err
		}
	}
	if len(streams) == 0 {
		return nil
	}
	d.mu.Lock()
	for _, s := range streams {
		delete(d.streams, s)
	}
	d.mu.Unlock()
	if err := d.deleteTopics(ctx, streams...); err != nil {
		return opError("delete", streams[0], err)
	}
	return nil
}
