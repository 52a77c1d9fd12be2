//go:build !race

package gates

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/internal/brokers/brokerstest"
	"github.com/streamerson/streamerson/transport"
)

// use is what a broker has done, as it tells itself: requests by name, and its traffic.
type use struct {
	ops     map[string]float64
	in, out float64
}

// String names what was seen, the most first.
func (u use) String() string {
	keys := slices.SortedFunc(maps.Keys(u.ops), func(a, b string) int { return cmp.Or(cmp.Compare(u.ops[b], u.ops[a]), cmp.Compare(a, b)) })
	var b strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&b, "%s %.4g, ", k, u.ops[k])
	}
	fmt.Fprintf(&b, "bytes in %.1f, out %.1f", u.in, u.out)
	return b.String()
}

// during is what the broker does for each of calls while f runs, and how long that took.
func during(calls int, look func() use, f func()) (perCall use, took time.Duration) {
	before, begun := look(), time.Now()
	f()
	after := look()
	took = time.Since(begun)
	u := use{ops: map[string]float64{}, in: (after.in - before.in) / float64(calls), out: (after.out - before.out) / float64(calls)}
	for k, n := range after.ops {
		if d := n - before.ops[k]; d > 0 {
			u.ops[k] = d / float64(calls)
		}
	}
	return u, took
}

// cut takes the named operations out of u and returns their sum.
func (u use) cut(names ...string) (sum float64) {
	for _, n := range names {
		sum += u.ops[n]
		delete(u.ops, n)
	}
	return sum
}

// rest is the sum of what was not cut.
func (u use) rest() (sum float64) {
	for _, n := range u.ops {
		sum += n
	}
	return sum
}

func redisUse(t *testing.T, rdb *redis.Client) func() use {
	return func() use {
		t.Helper()
		info, err := rdb.InfoMap(context.Background(), "stats", "commandstats").Result()
		if err != nil {
			t.Fatal(err)
		}
		u := use{ops: map[string]float64{}}
		for _, section := range info {
			for k, v := range section {
				switch k {
				case "total_net_input_bytes":
					u.in, _ = strconv.ParseFloat(v, 64)
				case "total_net_output_bytes":
					u.out, _ = strconv.ParseFloat(v, 64)
				}
				if name, ok := strings.CutPrefix(k, "cmdstat_"); ok && name != "info" {
					count, _, _ := strings.Cut(strings.TrimPrefix(v, "calls="), ",")
					u.ops[name], _ = strconv.ParseFloat(count, 64)
				}
			}
		}
		return u
	}
}

func ownRedis(t *testing.T) (*brokers.Redis, *redis.Client) {
	t.Helper()
	srv := brokerstest.Redis(t, brokers.RedisConfig{Own: true})
	rdb := redis.NewClient(&redis.Options{Addr: srv.Addr})
	t.Cleanup(func() { _ = rdb.Close() })
	return srv, rdb
}

// redisHot are the commands that calls cause. All others are a driver's housekeeping (presence, the lane's life), which goes
// by time.
var redisHot = []string{"xadd", "xreadgroup", "xread", "xack", "xtrim"}

const (
	// idleOps bounds the housekeeping of a client and a worker together, in commands a second: 46 were seen, idle and busy.
	idleOps = 90
	// idleBytes bounds its bytes a second, each way: 1,300 to 2,300 and 970 were seen, the more when a script is sent whole.
	idleBytes = 8_000
)

// redisCost bounds what one call costs a Redis.
type redisCost struct {
	calls, inFlight int
	pack            bool
	// adds is XADD: the request, and its reply or the reply's share of a frame that carries several. others are
	// XREADGROUP, XREAD, XACK and XTRIM together. in and out are bytes.
	adds, others, in, out float64
	// allocations of client, worker and both drivers together.
	allocations float64
}

// check looks at a load of one stream. Housekeeping is allowed for by the time that it took, since a busy machine makes
// the same calls in more time.
func (c redisCost) check(t *testing.T, u use, took time.Duration) {
	t.Helper()
	t.Logf("%d in flight, %v: %v", c.inFlight, took, u)
	idle := took.Seconds() / float64(c.calls)
	within := func(what string, got, most float64) {
		t.Helper()
		if got > most {
			t.Errorf("%d in flight: %s: %.3f a call, want at most %.3f", c.inFlight, what, got, most)
		}
	}
	within("XADD", u.cut("xadd"), c.adds)
	within("XREADGROUP, XREAD, XACK and XTRIM", u.cut(redisHot...), c.others+20*idle)
	within("housekeeping", u.rest(), (idleOps*took.Seconds()+idleOps)/float64(c.calls))
	within("bytes in", u.in, c.in+idleBytes*idle)
	within("bytes out", u.out, c.out+idleBytes*idle)
}

// redisCosts are what is seen, plus slack. One in flight: two XADD, and one each of XREADGROUP, XREAD and XACK, exactly, 1,009
// bytes in and 656 out, 34 allocations; the slack is for an id or a length that grows by a digit, and for XTRIM. 256 in flight: 1.015 XADD and
// 0.04 of the others, since some 70 calls share a batch; the bounds let them be 12. 522 bytes in and 485 out, 5.8 allocations. Packed: 0.06 XADD, 428 bytes in and 422 out, 4.7 allocations; a
// machine that takes handlers' time away makes packs smaller.
var redisCosts = []redisCost{
	{2_000, 1, false, 2, 3.05, 1_030, 675, 40},
	{30_000, 256, false, 1.15, 0.25, 575, 535, 8.5},
	{30_000, 256, true, 0.4, 0.25, 500, 475, 7.5},
}

func TestGateRedisCommandsAndBytes(t *testing.T) {
	srv, rdb := ownRedis(t)
	p := start(t, srv.URL, names(1)...)
	for _, c := range redisCosts {
		if p.pack = c.pack; p.pack {
			p.load(2_000, 256) // the client learns how long handlers take
		}
		var u use
		var took time.Duration
		objects, _ := allocated(func() {
			u, took = during(c.calls, redisUse(t, rdb), func() { p.load(c.calls, c.inFlight) })
		})
		c.check(t, u, took)
		if n := objects / float64(c.calls); n > c.allocations {
			t.Errorf("%d in flight: %.2f allocations a call, want at most %.2f", c.inFlight, n, c.allocations)
		} else {
			t.Logf("%d in flight: %.2f allocations", c.inFlight, n)
		}
	}
	observer := connectionsTo(t, srv.Addr) // before: the pair's and the test's own
	if err := rdb.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return connectionsTo(t, srv.Addr) < observer }, func() string { return "the test's own connection stays" })
	p.connections(srv.Addr, 5)
}

// TestGateRedisIdle: a client and a worker without a call cost next to nothing.
func TestGateRedisIdle(t *testing.T) {
	srv, rdb := ownRedis(t)
	start(t, srv.URL, names(1)...)
	u, took := during(1, redisUse(t, rdb), func() { time.Sleep(2 * time.Second) })
	s := took.Seconds()
	t.Logf("a second: %.0f commands, %.0f bytes in, %.0f out", u.rest()/s, u.in/s, u.out/s)
	if u.rest() > idleOps*s || u.in > idleBytes*s || u.out > idleBytes*s {
		t.Errorf("in %v: %v, want at most %d commands and %d bytes each way a second", took, u, idleOps, idleBytes)
	}
}

// TestGateRedisLeavesNothing: after a run nothing is pending, all requests are trimmed, and the lane holds at most its cap.
func TestGateRedisLeavesNothing(t *testing.T) {
	srv, rdb := ownRedis(t)
	p := start(t, srv.URL, names(1)...)
	p.load(30_000, 256)
	p.settled()
	var kept map[string]int64
	eventually(t, func() bool {
		kept = lengths(t, rdb)
		for key, n := range kept {
			if n > transport.DefaultLaneLen || strings.Contains(key, p.streams[0]) && n > 0 {
				return false
			}
		}
		return true
	}, func() string { return fmt.Sprintf("after all was settled the streams hold %v", kept) })
	t.Logf("left: %v", kept)
}

// lengths of all streams that there are.
func lengths(t *testing.T, rdb *redis.Client) map[string]int64 {
	t.Helper()
	out, it := map[string]int64{}, rdb.ScanType(t.Context(), 0, "*", 1000, "stream").Iterator()
	for it.Next(t.Context()) {
		n, err := rdb.XLen(t.Context(), it.Val()).Result()
		if err != nil {
			t.Fatal(err)
		}
		out[it.Val()] = n
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
