package mem

import (
	"context"

	"github.com/streamerson/streamerson/transport"
)

var _ transport.StreamDeleter = (*Driver)(nil)

// DeleteStreams implements transport.StreamDeleter.
func (d *Driver) DeleteStreams(ctx context.Context, streams []string) error {
	if err := d.enter(ctx, "delete"); err != nil {
		return err
	}
	defer d.unlock()
	for _, name := range streams {
		delete(d.ensured, name)
		if s := d.b.streams[name]; s != nil {
			d.b.remove(s)
		}
	}
	return nil
}

// remove forgets a stream and its groups, and lets their members notice.
func (b *Broker) remove(s *stream) {
	b.wipes++
	b.lastSeq = max(b.lastSeq, s.lastSeq) // ids are not given twice
	for _, g := range s.groups {
		g.gone = true
		for _, m := range g.members {
			if m.c.blocked {
				m.c.wakeUp()
			}
		}
	}
	delete(b.streams, s.name)
}
