package bench

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/bench/result"
	"github.com/streamerson/streamerson/internal/brokers"
)

// broker is what a run's legs meet at. Its methods are called by one goroutine at a time.
type broker interface {
	// address is the broker's URL, and hostport its host and port.
	address() string
	hostport() string
	info(ctx context.Context) (BrokerInfo, error)
	// use reads the broker's own counters: what it has done since it began.
	use(ctx context.Context) (BrokerUse, error)
	// clients are the other ends of its connections, "host:port"; nil if it doesn't tell.
	clients(ctx context.Context) (map[string]bool, error)
	stop() error
}

// redisBroker is a redis-server of this run alone, and a connection to look at it with.
type redisBroker struct {
	srv *brokers.Redis
	rdb *redis.Client
}

// BrokerInfo says what was measured against.
type BrokerInfo struct {
	Name, Version string
	// Class is one of result's, Durability the same in the broker's settings: rows are comparable only within one class.
	Class, Durability string
}

// BrokerUse is what a broker has done since it began, as it tells itself.
type BrokerUse struct {
	CPU time.Duration
	result.BrokerUse
}

// startRedis starts a redis-server with appendonly everysec: an accepted message survives the death of the process, and a
// power cut loses at most a second. It is always the run's own: what other clients do to a shared one would be measured too.
func startRedis(ctx context.Context) (*redisBroker, error) {
	srv, err := brokers.StartRedis(ctx, brokers.RedisConfig{
		Own: true, AOF: "everysec",
		// A rewrite of the log forks and takes a core for seconds: it would hit one leg and not another.
		Args: []string{"--auto-aof-rewrite-percentage", "0"},
	})
	if err != nil {
		return nil, err
	}
	return &redisBroker{srv: srv, rdb: redis.NewClient(&redis.Options{Addr: srv.Addr, ClientName: "bench-observer"})}, nil
}

func (b *redisBroker) address() string { return b.srv.URL }

func (b *redisBroker) hostport() string { return b.srv.Addr }

func (b *redisBroker) stop() error {
	err := b.rdb.Close()
	b.srv.Stop()
	return err
}

func (b *redisBroker) info(ctx context.Context) (BrokerInfo, error) {
	text, err := b.rdb.Info(ctx, "server").Result()
	if err != nil {
		return BrokerInfo{}, err
	}
	conf, err := b.rdb.ConfigGet(ctx, "append*").Result()
	if err != nil {
		return BrokerInfo{}, err
	}
	return BrokerInfo{
		Name: "redis", Version: parseInfo(text)["redis_version"], Class: result.ClassProcess,
		Durability: fmt.Sprintf("appendonly %s, appendfsync %s (survives kill -9 of the broker)", conf["appendonly"], conf["appendfsync"]),
	}, nil
}

func (b *redisBroker) use(ctx context.Context) (BrokerUse, error) {
	text, err := b.rdb.InfoMap(ctx, "stats", "cpu", "commandstats").Result()
	if err != nil {
		return BrokerUse{}, err
	}
	u := BrokerUse{BrokerUse: result.BrokerUse{Commands: map[string]int64{}}}
	for _, section := range text {
		for k, v := range section {
			switch k {
			case "used_cpu_sys", "used_cpu_user":
				s, _ := strconv.ParseFloat(v, 64)
				u.CPU += time.Duration(s * float64(time.Second))
			case "total_net_input_bytes":
				u.BytesIn, _ = strconv.ParseInt(v, 10, 64)
			case "total_net_output_bytes":
				u.BytesOut, _ = strconv.ParseInt(v, 10, 64)
			case "total_reads_processed":
				u.Reads, _ = strconv.ParseInt(v, 10, 64)
			}
			if name, ok := strings.CutPrefix(k, "cmdstat_"); ok {
				u.Commands[name] = calls(v)
			}
		}
	}
	return u, nil
}

// calls cuts the count out of "calls=12,usec=…".
func calls(stat string) int64 {
	s, _ := strings.CutPrefix(stat, "calls=")
	s, _, _ = strings.Cut(s, ",")
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

func parseInfo(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			m[k] = v
		}
	}
	return m
}

// since is u minus an earlier reading.
func (u BrokerUse) since(before BrokerUse) BrokerUse {
	d := BrokerUse{
		CPU: u.CPU - before.CPU, BrokerUse: result.BrokerUse{
			Commands: map[string]int64{}, BytesIn: u.BytesIn - before.BytesIn, BytesOut: u.BytesOut - before.BytesOut, Reads: u.Reads - before.Reads,
		},
	}
	for k, n := range u.Commands {
		if k != "info" && n > before.Commands[k] {
			d.Commands[k] = n - before.Commands[k]
		}
	}
	return d
}

// add sums two differences.
func (u BrokerUse) add(v BrokerUse) BrokerUse {
	s := BrokerUse{
		CPU: u.CPU + v.CPU, BrokerUse: result.BrokerUse{
			Commands: map[string]int64{}, BytesIn: u.BytesIn + v.BytesIn, BytesOut: u.BytesOut + v.BytesOut, Reads: u.Reads + v.Reads,
		},
	}
	for _, m := range []map[string]int64{u.Commands, v.Commands} {
		for k, n := range m {
			s.Commands[k] += n
		}
	}
	return s
}
