package redis

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/streamerson/streamerson/transport"
)

// minMajor is the oldest server: 7.0 has XAUTOCLAIM with the deleted ids and XINFO's lag.
const minMajor = 7

var quiet sync.Once

// Open is a transport.Opener. It dials, checks the credentials, the version and the persistence, and starts the driver's
// goroutines. It turns off go-redis's own log, which is global and writes a line for each failed dial.
func Open(ctx context.Context, u *url.URL, opts transport.Options) (transport.Driver, error) {
	set, err := parseURL(u)
	if err != nil {
		return nil, err
	}
	quiet.Do(logging.Disable)
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	d := &Driver{
		set: set, instance: newInstance(), opts: opts, log: transport.NewQuietLog(opts.Logger),
		streams: map[string]*streamState{}, consumers: map[*consumer]bool{}, lanes: map[string]laneInfo{}, house: make(chan struct{}, 1),
	}
	d.links.cmd, d.links.tail = openLink(set, false), openLink(set, true)
	d.acks.ids, d.acks.trims = map[*consumerStream][]string{}, map[string]string{}
	d.tails = newTails(d, d.links.tail)
	d.cmd = newCommander(d.links.cmd, set.mode != cluster)
	d.cmd.extra = d.extra
	d.cmd.sent = d.extraSent
	d.cmd.onState = d.onState
	// Nothing else uses the connection yet.
	checked := make(chan error, 1)
	go func() { checked <- d.inspect() }()
	select {
	case err = <-checked:
	case <-ctx.Done():
		d.links.cmd.abort()
		_ = <-checked
		err = fail("open", "", ctx.Err())
	}
	if err != nil {
		_ = d.links.cmd.close()
		_ = d.links.tail.close()
		return nil, err
	}
	d.bg, d.bgCancel = context.WithCancel(context.Background())
	go d.cmd.run()
	d.bgWait.Go(func() { d.housekeeping(d.bg) })
	return d, nil
}

// inspect asks the broker who it is.
func (d *Driver) inspect() error {
	ctx := context.Background()
	ping := goredis.NewStatusCmd(ctx, "ping")
	info := goredis.NewStringCmd(ctx, "info", "server")
	persist := goredis.NewStringCmd(ctx, "info", "persistence")
	aof := goredis.NewMapStringStringCmd(ctx, "config", "get", "appendonly")
	fsync := goredis.NewMapStringStringCmd(ctx, "config", "get", "appendfsync")
	clock := goredis.NewTimeCmd(ctx, "time")
	start := mono()
	// One at a time: a refused CONFIG must not hide an answer, and in a Cluster INFO has no key to go by.
	for _, c := range []goredis.Cmder{ping, info, persist, aof, fsync, clock} {
		if c == clock {
			start = mono()
		}
		if err := d.links.cmd.pipeline([]goredis.Cmder{c}); err != nil {
			return connFail("open", "", err)
		}
	}
	if err := ping.Err(); err != nil {
		return fail("open", "", err)
	}
	if err := info.Err(); err != nil {
		return fail("open", "", err)
	}
	version := field(info.Val(), "redis_version")
	if major, _, _ := strings.Cut(version, "."); atoi(major) < minMajor {
		return failMsg(transport.CodeUnsupported, "open", "", fmt.Sprintf("the server is Redis %q; at least %d.0 is needed (XAUTOCLAIM with deleted ids, lag)", version, minMajor))
	}
	if clock.Err() == nil {
		d.setClock(clock.Val(), start)
	}
	if valkey := field(info.Val(), "valkey_version"); valkey != "" { // its redis_version is what it is compatible with
		version = "Valkey " + valkey
	}
	d.caps = transport.Capabilities{
		Name: "redis", Version: version, MaxBody: maxBody, CrossProcess: true, Stored: true, Backlog: true, OrderedInPublish: true, Redeliver: true, Extend: true, Release: true,
		OrderedByKey: false, BrokerTime: true, LiveConsumers: true, Browse: true, Connections: 3,
		// A write and a read may each take the timeout, after waiting for another pipeline.
		Silence: 2*d.set.timeout + maxQueued,
	}
	if d.set.mode == cluster {
		d.caps.Connections = 0
	}
	d.caps.Durability, d.caps.DurabilityNote = durability(persist, aof, fsync)
	if d.caps.Durability <= transport.DurabilityMemory {
		d.opts.Logger.Warn("streamerson: REDIS KEEPS ACCEPTED REQUESTS IN MEMORY ONLY: they are lost when its process ends; set `appendonly yes`",
			"address", strings.Join(d.set.addrs, ","), "durability", d.caps.Durability.String(), "why", d.caps.DurabilityNote)
	}
	return nil
}

func durability(persist *goredis.StringCmd, aof, fsync *goredis.MapStringStringCmd) (transport.Durability, string) {
	on, how := aof.Val()["appendonly"], fsync.Val()["appendfsync"]
	from := "CONFIG GET"
	if aof.Err() != nil || on == "" {
		from = "INFO persistence (CONFIG is denied)"
		switch field(persist.Val(), "aof_enabled") {
		case "1":
			on = "yes"
		case "0":
			on = "no"
		default:
			return transport.DurabilityUnknown, "neither CONFIG GET nor INFO persistence told"
		}
	}
	switch {
	case on != "yes":
		return transport.DurabilityMemory, "appendonly no, by " + from
	case how == "always":
		return transport.DurabilityFsync, "appendonly yes, appendfsync always, by " + from
	case how == "":
		return transport.DurabilityProcess, "appendonly yes, appendfsync not known, by " + from
	default:
		// Redis puts off writing to its file, for up to 2 s, while a sync is under way (aof.c, flushAppendOnlyFile): a kill -9 in that
		// time takes what was accepted in it. Seen in one of 21 kills of a Redis under load.
		return transport.DurabilityProcess, "appendonly yes, appendfsync " + how + ", by " + from + "; what is accepted while a sync is under way dies with the process"
	}
}

// field reads "name:value" lines as INFO writes them.
func field(info, name string) string {
	for l := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(l, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

func (d *Driver) onState(up bool, err error) {
	if up {
		d.opts.Logger.Info("streamerson: Redis is back")
		d.event(transport.Event{Kind: transport.EventConnected})
		signal(d.house)
		return
	}
	d.log.Warn("down", "streamerson: Redis can't be reached; requests are refused until it is back", "err", err)
	d.event(transport.Event{Kind: transport.EventDisconnected, Err: err})
}
