package redis

import (
	"context"
	"sync"

	goredis "github.com/redis/go-redis/v9"
)

// bodyField is the one field of an entry. A short name: it is stored with every message.
const bodyField = "b"

// entryOverhead is what a message costs on the wire beside its body, about.
const entryOverhead = 160

// bodyArg is written without being converted to an interface value of its own, which would cost an allocation a message.
type bodyArg []byte

func (b *bodyArg) MarshalBinary() ([]byte, error) { return *b, nil }

// xadd is a reusable XADD: its arguments point into the struct. The reply, an id, is read into buf: nobody needs it.
// NOMKSTREAM: only Ensure and Tail create anything. The direct path writes it from the fields, go-redis from the arguments.
type xadd struct {
	*goredis.ZeroCopyStringCmd
	key  string
	max  int64
	body bodyArg
	buf  [48]byte
}

var streamAdds = sync.Pool{New: func() any {
	x := &xadd{}
	x.ZeroCopyStringCmd = goredis.NewZeroCopyStringCmd(context.Background(), x.buf[:], "xadd", &x.key, "nomkstream", "*", bodyField, &x.body)
	return x
}}

// laneAdds cap the lane exactly: below the cap that costs nothing.
var laneAdds = sync.Pool{New: func() any {
	x := &xadd{max: 1}
	x.ZeroCopyStringCmd = goredis.NewZeroCopyStringCmd(context.Background(), x.buf[:], "xadd", &x.key, "nomkstream", "maxlen", &x.max, "*", bodyField, &x.body)
	return x
}}

func newStreamAdd(key string, body []byte) *xadd {
	x := streamAdds.Get().(*xadd)
	x.key, x.body = key, body
	return x.reset()
}

func newLaneAdd(key string, maxLen int64, body []byte) *xadd {
	x := laneAdds.Get().(*xadd)
	x.key, x.max, x.body = key, maxLen, body
	return x.reset()
}

func (x *xadd) reset() *xadd {
	x.SetErr(nil)
	x.SetVal(0)
	return x
}

// stored reports that a reply with an id was read, even if the client marked the command as failed with its pipeline.
func (x *xadd) stored() bool { return x.Val() > 0 }

// free gives x back for reuse. Not in a Cluster: there the client remembers the slot of a command's first key.
func (x *xadd) free() {
	x.key, x.body = "", nil
	if x.max > 0 {
		laneAdds.Put(x)
	} else {
		streamAdds.Put(x)
	}
}

// xack acks ids of one stream and group.
func xack(key, group string, ids []string) *goredis.IntCmd {
	args := make([]any, 0, 3+len(ids))
	args = append(args, "xack", key, group)
	for i := range ids {
		args = append(args, &ids[i])
	}
	return goredis.NewIntCmd(context.Background(), args...)
}
