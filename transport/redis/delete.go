package redis

import (
	"context"

	goredis "github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/transport"
)

var _ transport.StreamDeleter = (*Driver)(nil)

// DeleteStreams unlinks the streams' keys. What tells of their live consumers expires by itself.
func (d *Driver) DeleteStreams(ctx context.Context, streams []string) error {
	if err := d.check("delete"); err != nil {
		return err
	}
	cmds := make([]goredis.Cmder, len(streams))
	for i, s := range streams {
		if err := transport.CheckName(s); err != nil {
			return failMsg(transport.CodeInvalid, "delete", s, nameMsg(err))
		}
		cmds[i] = goredis.NewIntCmd(context.Background(), "unlink", streamKey(s))
	}
	if len(cmds) == 0 {
		return nil
	}
	d.mu.Lock()
	for _, s := range streams {
		delete(d.streams, s)
	}
	d.mu.Unlock()
	if _, err := d.cmd.do(ctx, cmds, 0); err != nil {
		return opError("delete", streams[0], err)
	}
	for i, c := range cmds {
		if err := c.Err(); err != nil {
			return fail("delete", streams[i], err)
		}
	}
	return nil
}
