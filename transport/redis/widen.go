package redis

import (
	"strconv"
	"strings"
	"sync"
	"time"
)

// Redis 7 reads a connection into a buffer of about 20 KB, and grows it only when more than 4 KB of an unfinished command are left
// at its end, which commands of one size never do: a pipeline of 100 requests of 4 KiB is read and carried out in 25 turns, each of
// which wakes whoever waits for one of them and writes to the log. One command with a long argument leaves a buffer as long as that
// argument, until the connection has been idle or nearly so for a second or two.
const (
	// widenSize is the length of that argument, and so of the buffer.
	widenSize = 128 << 10
	// widenFrom is the length of a pipeline, in bytes, from which it is worth it.
	widenFrom = 16 << 10
	// widenEvery is how often it is done while there are such pipelines.
	widenEvery = time.Second
)

// widenCommand asks for the length of a stream that nobody has: its name is the long argument. It costs Redis some 20 µs.
var widenCommand = sync.OnceValue(func() []byte {
	key := keyPrefix + strings.Repeat("-", widenSize-len(keyPrefix))
	return []byte("*2\r\n$4\r\nxlen\r\n$" + strconv.Itoa(widenSize) + "\r\n" + key + "\r\n")
})

// widen appends the command to a long pipeline when it is due; not by TLS, which Redis reads record by record.
func (d *direct) widen(conn *watchedConn, now time.Time) {
	d.extra = false
	if now.Sub(d.widened) < widenEvery || !conn.vectored() {
		return
	}
	size := len(d.out)
	for _, s := range d.segs {
		size += len(s.body)
	}
	if size < widenFrom {
		return
	}
	d.segs = append(d.segs, segment{len(d.out), widenCommand()})
	d.widened, d.extra = now, true
}
