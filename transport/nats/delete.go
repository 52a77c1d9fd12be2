package nats

import (
	"context"

	"github.com/streamerson/streamerson/transport"
)

var _ transport.StreamDeleter = (*Driver)(nil)

// DeleteStreams deletes the JetStream streams with their consumers. With core NATS there is nothing to delete.
func (d *Driver) DeleteStreams(ctx context.Context, streams []string) error {
	if err := d.check("delete"); err != nil {
		return err
	}
	for _, s := range streams {
		if err := transport.CheckName(s); err != nil {
			return err
		}
		d.mu.Lock()
		delete(d.specs, s)
		d.mu.Unlock()
		if d.set.core {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, d.set.timeout)
		err := d.js.DeleteStream(limited, jsStream(s))
		cancel()
		if err != nil && !missing(err) {
			return fail("delete", s, err)
		}
	}
	return nil
}
