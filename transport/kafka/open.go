package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"

	"github.com/segmentio/kafka-go/protocol/describeconfigs"

	"github.com/streamerson/streamerson/transport"
)

// openTries is how often Open asks a broker that takes connections and doesn't answer in time: one that has just started may be
// slow to greet its first client.
const openTries = 4

// Open is a transport.Opener. It connects, checks the credentials and the broker's version, finds out how durable what it
// accepts is, and starts the driver's goroutines.
func Open(ctx context.Context, u *url.URL, opts transport.Options) (transport.Driver, error) {
	set, err := parseURL(u)
	if err != nil {
		return nil, err
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	d := &Driver{
		set: set, instance: newID()[:8], opts: opts, log: transport.NewQuietLog(opts.Logger), cl: newCluster(set),
		streams: map[string]*stream{}, members: map[string]*member{}, lookups: map[string]*lookup{}, consumers: map[*consumer]bool{}, tailers: map[*tailer]bool{},
	}
	d.bg, d.bgCancel = context.WithCancel(context.Background())
	d.reads = &fetcher{d: d, brokers: map[int32]*[slots]bool{}}
	err = d.inspect(ctx)
	for try := 1; try < openTries && codeOf(err) == transport.CodeTimeout && ctx.Err() == nil; try++ {
		err = d.inspect(ctx)
	}
	if err != nil {
		d.bgCancel()
		d.cl.links.close()
		return nil, opError("open", "", err)
	}
	d.bgWait.Go(d.housekeeping)
	return d, nil
}

// inspect asks the brokers who they are.
func (d *Driver) inspect(ctx context.Context) error {
	if _, err := d.cl.refresh(ctx, []string{}); err != nil {
		return err
	}
	if n := d.cl.size(); d.set.via != "" && n != 1 {
		return bad("parameter via=%s leads to one broker, and the cluster has %d", d.set.via, n)
	}
	version, err := d.version(ctx)
	if err != nil {
		return err
	}
	d.caps = transport.Capabilities{
		Name: "kafka", Version: version, MaxBody: d.set.maxBody, CrossProcess: true, Stored: true, Backlog: true, Release: true, ReleaseDelay: true,
		OrderedByKey: true, LiveConsumers: true, BrokerTime: true,
	}
	d.caps.Durability, d.caps.DurabilityNote = d.durability(ctx)
	// A topic of its own, because only a Produce tells the broker's clock.
	_, err = d.ensureTopics(ctx, []topicSpec{{clockTopic, 1, laneConfig}})
	for try := 0; err == nil; try++ {
		if err = d.mark(ctx, clockTopic); !moved(err) || try == routeTries || !sleep(ctx, pauseBefore(try)) {
			break
		}
		d.cl.forget(clockTopic)
		err = nil
	}
	if err != nil {
		d.caps.BrokerTime = false
		d.opts.Logger.Warn("streamerson: the broker's clock can't be found out; requests expire by the machines' own clocks", "topic", clockTopic, "err", err)
	}
	return nil
}

// durability is that of acks=all with the brokers' default replication.
func (d *Driver) durability(ctx context.Context) (transport.Durability, string) {
	d.cl.mu.Lock()
	n, id := len(d.cl.brokers), int32(-1)
	for b := range d.cl.brokers {
		id = b
	}
	d.cl.mu.Unlock()
	if n == 1 || d.set.replication == 1 {
		return transport.DurabilityProcess, "acks=all with one copy: the broker's page cache outlives its process, not a power cut"
	}
	r, err := d.cl.to(ctx, id, d.set.timeout, &describeconfigs.Request{Resources: []describeconfigs.RequestResource{{
		ResourceType: 4, ResourceName: strconv.Itoa(int(id)), ConfigNames: []string{"default.replication.factor", "min.insync.replicas"}}}})
	if err != nil {
		return transport.DurabilityProcess, fmt.Sprintf("acks=all on %d brokers; the number of copies can't be read: %v", n, err)
	}
	values := map[string]int{}
	for _, res := range r.(*describeconfigs.Response).Resources {
		for _, c := range res.ConfigEntries {
			values[c.ConfigName], _ = strconv.Atoi(c.ConfigValue)
		}
	}
	copies, least := values["default.replication.factor"], values["min.insync.replicas"]
	if d.set.replication > 0 {
		copies = int(d.set.replication)
	}
	note := fmt.Sprintf("acks=all, %d copies of which %d must have it, by DescribeConfigs; topics that others made may differ", copies, least)
	if copies > 1 && least > copies/2 {
		return transport.DurabilityQuorum, note
	}
	return transport.DurabilityProcess, note
}

func isLaneTopic(name string) bool {
	return strings.HasPrefix(name, lanePrefix) || strings.HasPrefix(name, sharePrefix)
}
