package redis

import (
	"context"

	goredis "github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/transport"
)

var _ transport.Browser = (*Driver)(nil)

// Browse reads with XRANGE.
func (d *Driver) Browse(ctx context.Context, stream, after string, limit int) ([]transport.Delivery, error) {
	if err := d.check("browse"); err != nil {
		return nil, err
	}
	if err := transport.CheckName(stream); err != nil {
		return nil, failMsg(transport.CodeInvalid, "browse", stream, nameMsg(err))
	}
	from := "-"
	if after != "" {
		from = "(" + after
	}
	key := streamKey(stream)
	exists := goredis.NewIntCmd(context.Background(), "exists", key)
	// XRANGE answers the entries of one stream: the same rows as XREAD's, without the stream around them.
	cmd := goredis.NewRawCmd(context.Background(), "xrange", key, from, "+", "count", max(limit, 1))
	if _, err := d.cmd.do(ctx, []goredis.Cmder{exists, cmd}, 0); err != nil {
		return nil, opError("browse", stream, err)
	}
	if err := exists.Err(); err != nil {
		return nil, fail("browse", stream, err)
	}
	if exists.Val() == 0 {
		return nil, failMsg(transport.CodeNotFound, "browse", stream, "the stream does not exist")
	}
	p := &parser{b: cmd.Val()}
	n, err := p.header('*')
	if err != nil {
		return nil, fail("browse", stream, err)
	}
	var ds []transport.Delivery
	for range n {
		e, ok, err := p.entry()
		if err != nil {
			return nil, fail("browse", stream, err)
		}
		if ok {
			ds = append(ds, transport.Delivery{Stream: stream, ID: string(e.id), Body: e.body, Attempt: 1, Age: d.age(string(e.id))})
		}
	}
	return ds, nil
}

// Remove deletes with XDEL.
func (d *Driver) Remove(ctx context.Context, stream string, ids []string) (int, error) {
	if err := d.check("remove"); err != nil {
		return 0, err
	}
	if err := transport.CheckName(stream); err != nil {
		return 0, failMsg(transport.CodeInvalid, "remove", stream, nameMsg(err))
	}
	if len(ids) == 0 {
		return 0, nil
	}
	args := make([]any, 0, 2+len(ids))
	args = append(args, "xdel", streamKey(stream))
	for _, id := range ids {
		args = append(args, id)
	}
	cmd := goredis.NewIntCmd(context.Background(), args...)
	if _, err := d.cmd.do(ctx, []goredis.Cmder{cmd}, 0); err != nil {
		return 0, opError("remove", stream, err)
	}
	if err := cmd.Err(); err != nil {
		return 0, fail("remove", stream, err)
	}
	return int(cmd.Val()), nil
}
