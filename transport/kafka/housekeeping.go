package kafka

import (
	"context"
	"time"

	"github.com/streamerson/streamerson/transport"
)

const (
	// lookEvery is how often what was ensured is looked for, to make again what has vanished.
	lookEvery = time.Second
	// reapEvery is how often lanes of dead owners are looked for.
	reapEvery = 30 * time.Second
	// sampleEvery is how often the backlog of a stream that is near its limit is looked at, sampleSlowly that of others. Only
	// streams to which this process publishes are looked at.
	sampleEvery  = 150 * time.Millisecond
	sampleSlowly = time.Second
	// smallBacklog is the limit below which a stream counts as always near it.
	smallBacklog = 10_000
)

func (d *Driver) housekeeping() {
	tick := time.NewTicker(sampleEvery / 3)
	defer tick.Stop()
	looked, marked, reaped := time.Now(), time.Now(), time.Now()
	lanes := map[string]laneSeen{}
	for {
		select {
		case <-d.bg.Done():
			return
		case <-tick.C:
		}
		d.sampleBacklogs()
		if time.Since(looked) >= lookEvery {
			d.restore()
			d.cl.links.sweep()
			looked = time.Now()
		}
		if time.Since(marked) >= markEvery {
			d.markLanes()
			marked = time.Now()
		}
		if time.Since(reaped) >= reapEvery {
			d.reap(lanes)
			reaped = time.Now()
		}
	}
}

func (d *Driver) allStreams() (all []*stream, groups map[*stream][]string) {
	groups = map[*stream][]string{}
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, st := range d.streams {
		all = append(all, st)
		groups[st] = st.groups
	}
	return all, groups
}

// sampleBacklogs sets which streams are full.
func (d *Driver) sampleBacklogs() {
	all, groups := d.allStreams()
	for _, st := range all {
		published := st.published.Load()
		if len(groups[st]) == 0 || published == st.seen && !st.full.Load() {
			continue
		}
		limit := st.maxBacklog.Load()
		every := sampleSlowly
		if limit < smallBacklog || st.waiting+published-st.seen > limit/2 {
			every = sampleEvery
		}
		if time.Since(st.sampled) < every {
			continue
		}
		waiting := int64(0)
		for _, g := range groups[st] {
			rows, err := d.backlog(d.bg, st.name, g)
			if err != nil {
				break
			}
			n := int64(0)
			for _, b := range rows {
				n += b.waiting
			}
			waiting = max(waiting, n)
		}
		st.sampled, st.seen, st.waiting = time.Now(), published, waiting
		st.full.Store(waiting >= limit)
	}
}

// restore makes again what was ensured and has vanished, lanes as well.
func (d *Driver) restore() {
	all, groups := d.allStreams()
	var names []string
	for _, st := range all {
		names = append(names, st.name)
	}
	lanes := d.laneTopics()
	names = append(names, lanes...)
	if len(names) == 0 {
		return
	}
	if _, err := d.cl.refresh(d.bg, names); err != nil {
		d.wentDown(err)
		return
	}
	d.isUp()
	var specs []transport.StreamSpec
	for _, st := range all {
		if d.cl.knownLeaders(st.name) == nil {
			specs = append(specs, transport.StreamSpec{Stream: st.name, Groups: groups[st]})
		}
	}
	if len(specs) > 0 {
		if err := d.ensure(d.bg, specs); err != nil {
			d.log.Warn("restore", "streamerson: streams have vanished and can't be made again; trying on", "err", err)
		}
	}
	for _, topic := range lanes {
		if d.cl.knownLeaders(topic) == nil && d.hasLane(topic) {
			if _, err := d.ensureTopics(d.bg, []topicSpec{{topic, 1, laneConfig}}); err == nil {
				d.event(transport.Event{Kind: transport.EventRecreated, Stream: topic, N: 1})
			}
		}
	}
}

func (d *Driver) laneTopics() (out []string) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for t := range d.tailers {
		out = append(out, t.topic)
	}
	return out
}

func (d *Driver) hasLane(topic string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for t := range d.tailers {
		if t.topic == topic {
			return true
		}
	}
	return false
}

func (d *Driver) markLanes() {
	for _, topic := range append(d.laneTopics(), clockTopic) {
		if topic == clockTopic && !d.caps.BrokerTime {
			continue
		}
		if err := d.mark(d.bg, topic); err != nil {
			d.cl.forget(topic)
		}
	}
}

// laneSeen is the end of a lane, and since when it is that.
type laneSeen struct {
	end   int64
	since time.Time
}

// reap deletes the lanes whose end has not moved for laneTTL: their owners write a mark every markEvery.
func (d *Driver) reap(seen map[string]laneSeen) {
	res, err := d.cl.refresh(d.bg, nil)
	if err != nil {
		return
	}
	exist := map[string]bool{}
	for _, t := range res.Topics {
		if !isLaneTopic(t.Name) || d.hasLane(t.Name) {
			continue
		}
		exist[t.Name] = true
		end, err := d.edge(d.bg, t.Name, -1, 0)
		if err != nil {
			continue
		}
		s, ok := seen[t.Name]
		switch {
		case !ok || s.end != end[0]:
			seen[t.Name] = laneSeen{end[0], time.Now()}
		case time.Since(s.since) > laneTTL:
			ctx, cancel := context.WithTimeout(d.bg, d.set.timeout)
			if d.deleteTopics(ctx, t.Name) == nil {
				d.event(transport.Event{Kind: transport.EventLaneReaped, Stream: t.Name, N: 1})
			}
			cancel()
		}
	}
	for name := range seen {
		if !exist[name] {
			delete(seen, name)
		}
	}
}
