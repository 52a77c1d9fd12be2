package nats

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/streamerson/streamerson/transport"
)

// spec is what this driver was told to ensure of one stream. Guarded by Driver.mu.
type spec struct {
	transport.StreamSpec
	// created is the stream's, as the server tells, and floors is how far a group was known to have settled it.
	created time.Time
	floors  map[string]uint64
	// healed is when the stream was last made again, and pause how long until the next time.
	healed time.Time
	pause  time.Duration
}

const (
	// dedupWindow is how long JetStream remembers a Nats-Msg-Id, in its memory: at 40,000 messages a second 2 minutes would be some
	// hundred MB. The driver repeats a message within one Publish only, at most twice the timeout after it was sent first; a
	// longer timeout in the URL makes the window longer.
	dedupWindow = 20 * time.Second
	// maxWaitingPulls is how many pulls may wait at one group: one for each worker process that is idle.
	maxWaitingPulls = 10_000
	// A stream that vanished is made again after minHealPause, and one that keeps vanishing at most every maxHealPause. The
	// first is no smaller for the server's sake: it ends a stream's consumers before the stream, and a consumer that is made in
	// between leaves a stream whose files are gone.
	minHealPause, maxHealPause = 250 * time.Millisecond, time.Second
)

// missing reports whether err says that the stream or consumer is not there.
func missing(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrConsumerDoesNotExist)
}

// Ensure makes a stream, and its groups as durable pull consumers. A MaxBacklog other than 0 takes effect on a stream that exists
// as well.
func (d *Driver) Ensure(ctx context.Context, specs []transport.StreamSpec) error {
	for _, sp := range specs {
		if err := transport.CheckName(sp.Stream); err != nil {
			return err
		}
		for _, g := range sp.Groups {
			if err := transport.CheckName(g); err != nil {
				return err
			}
		}
		if sp.MaxBacklog < 0 {
			return failMsg(transport.CodeInvalid, "ensure", sp.Stream, "MaxBacklog is negative; give 0 for the default")
		}
		if sp.MaxBacklog > 0 && d.set.core {
			return failMsg(transport.CodeUnsupported, "ensure", sp.Stream, "core NATS has no backlog that could be bounded: leave MaxBacklog (max_backlog) out, or use nats://")
		}
	}
	if err := d.check("ensure"); err != nil {
		return err
	}
	if d.set.core {
		for _, sp := range specs {
			d.remember(sp)
		}
		return d.ensureCore(ctx, specs)
	}
	for _, sp := range specs {
		limited, cancel := context.WithTimeout(ctx, d.set.timeout)
		err := d.ensure(limited, sp)
		cancel()
		if err != nil {
			return fail("ensure", sp.Stream, err)
		}
		d.remember(sp)
	}
	return nil
}

func (d *Driver) remember(sp transport.StreamSpec) {
	d.mu.Lock()
	defer d.mu.Unlock()
	mine := d.specs[sp.Stream]
	if mine == nil {
		mine = &spec{StreamSpec: transport.StreamSpec{Stream: sp.Stream}, pause: minHealPause, floors: map[string]uint64{}}
		d.specs[sp.Stream] = mine
	}
	for _, g := range sp.Groups {
		if !slices.Contains(mine.Groups, g) {
			mine.Groups = append(mine.Groups, g)
		}
	}
	if sp.MaxBacklog > 0 {
		mine.MaxBacklog = sp.MaxBacklog
	}
}

func (d *Driver) ensure(ctx context.Context, sp transport.StreamSpec) error {
	start := time.Now()
	name := jsStream(sp.Stream)
	s, err := d.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s, err = d.js.CreateStream(ctx, d.streamConfig(sp))
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another driver was faster, with other settings
			s, err = d.js.Stream(ctx, name)
		}
	}
	if err != nil {
		return err
	}
	d.clock(start, s.CachedInfo().TimeStamp)
	for _, g := range sp.Groups {
		_, err := d.js.CreateConsumer(ctx, name, d.groupConfig(s.CachedInfo(), sp.Stream, g))
		if err != nil && !errors.Is(err, jetstream.ErrConsumerExists) {
			return err
		}
	}
	return d.bound(ctx, s.CachedInfo().Config, sp)
}

// bound sets the backlog that sp wants.
func (d *Driver) bound(ctx context.Context, cfg jetstream.StreamConfig, sp transport.StreamSpec) error {
	if sp.MaxBacklog == 0 || backlogOf(&cfg) == sp.MaxBacklog {
		return nil
	}
	cfg.MaxMsgs = sp.MaxBacklog
	cfg.Metadata = maps.Clone(cfg.Metadata)
	if cfg.Metadata == nil {
		cfg.Metadata = map[string]string{}
	}
	cfg.Metadata[metaBacklog] = strconv.FormatInt(sp.MaxBacklog, 10)
	_, err := d.js.UpdateStream(ctx, cfg)
	return err
}

func (d *Driver) streamConfig(sp transport.StreamSpec) jetstream.StreamConfig {
	backlog := sp.MaxBacklog
	if backlog == 0 {
		backlog = transport.DefaultMaxBacklog
	}
	return jetstream.StreamConfig{
		Name: jsStream(sp.Stream), Description: "streamerson: " + sp.Stream, Subjects: []string{streamSubject(sp.Stream)},
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxMsgs: backlog, MaxBytes: -1, MaxMsgSize: -1, MaxConsumers: -1,
		MaxMsgsPerSubject: -1, Storage: d.set.storage, Replicas: d.set.replicas, Duplicates: max(dedupWindow, 4*d.set.timeout), AllowDirect: true,
		Metadata: map[string]string{metaBacklog: strconv.FormatInt(backlog, 10)},
	}
}

// groupConfig begins at the stream's beginning, or, with a group that is made again, behind what it was known to have settled.
func (d *Driver) groupConfig(info *jetstream.StreamInfo, stream, group string) jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{
		Durable: token(group), Description: "streamerson: " + group, DeliverPolicy: jetstream.DeliverAllPolicy, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: transport.DefaultLease, MaxDeliver: -1, FilterSubject: streamSubject(stream), MaxWaiting: maxWaitingPulls, MaxAckPending: -1,
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	mine := d.specs[stream]
	if mine == nil {
		return cfg
	}
	if !mine.created.Equal(info.Created) { // another stream of that name: its numbers mean something else
		mine.created, mine.floors = info.Created, map[string]uint64{}
	}
	if f := mine.floors[group]; f > 0 && f <= info.State.LastSeq {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, f+1
	}
	return cfg
}

// heal makes again what this driver had ensured and what is gone, with back-off. It reports whether the stream, and the group
// unless that is "", are there: what was never ensured here is not made.
func (d *Driver) heal(ctx context.Context, stream, group string) bool {
	d.mu.Lock()
	mine := d.specs[stream]
	if mine == nil || d.closed || group != "" && !slices.Contains(mine.Groups, group) {
		d.mu.Unlock()
		return false
	}
	if time.Since(mine.healed) > 2*maxHealPause {
		mine.pause = minHealPause
	}
	wait := min(mine.pause, max(minHealPause, d.set.timeout/2)) // a Publish must live to see it
	mine.pause = min(2*mine.pause, maxHealPause)
	mine.healed = time.Now()
	sp := mine.StreamSpec
	sp.Groups = slices.Clone(sp.Groups)
	d.mu.Unlock()
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, d.set.timeout)
	defer cancel()
	if !d.gone(ctx, sp) { // another call or driver was faster
		return true
	}
	if err := d.ensure(ctx, sp); err != nil {
		d.log.Warn("heal "+stream, "streamerson: a stream or group is gone and could not be made again", "stream", stream, "err", err)
		return false
	}
	d.log.Warn("healed "+stream, "streamerson: a stream or group was gone and has been made again", "stream", stream)
	d.event(transport.Event{Kind: transport.EventRecreated, Stream: stream, N: 1})
	return true
}

func (d *Driver) gone(ctx context.Context, sp transport.StreamSpec) bool {
	if _, err := d.js.Stream(ctx, jsStream(sp.Stream)); err != nil {
		return true
	}
	for _, g := range sp.Groups {
		if _, err := d.js.Consumer(ctx, jsStream(sp.Stream), token(g)); err != nil {
			return true
		}
	}
	return false
}
