package kafka

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

// A broker answers a connection's requests one by one, holds back a fetch that brings nothing, and can't be told to end it. So a
// partition that wants to be read while fetches are held back needs another connection or has to wait. There are three for each
// broker: what brought something lately is read by the first, so that a fetch names few partitions however many there are; all
// others by the second; and what comes in between by the third, soon to go with the others again.
const (
	slotBusy = iota
	slotQuiet
	slotBetween
	slots
)

// slotWait is how long a broker holds back a fetch that brings nothing, and quietWait that of one without a busy partition.
var slotWait = [slots]time.Duration{slotBusy: 100 * time.Millisecond, slotQuiet: quietWait, slotBetween: 25 * time.Millisecond}

const (
	quietWait = 500 * time.Millisecond
	// busyFor is how long a partition counts as busy after it brought something.
	busyFor = time.Second
	// askAgain is the pause before a partition is asked for again whose leader has moved or can't be reached.
	askAgain = 50 * time.Millisecond
	// answerBytes is the most that is asked for at once.
	answerBytes = 8 << 20
)

// ask is a partition that wants to be read once. It belongs to the fetcher until the asker is answered.
type ask struct {
	target
	asker  asker
	offset int64
	most   int32 // bytes
	// atOnce: the asker waits for what is there already, even if that is nothing.
	atOnce bool
	// brought is when the partition last brought something.
	brought time.Time

	got got
	// also ask for the same: other groups of the process, or tailers of the same lane. A fetch may name a partition only once.
	also []*ask
}

// apart appends a and those that ask for the same, which go their own way again.
func (a *ask) apart(to []*ask) []*ask {
	to = append(append(to, a), a.also...)
	a.also = nil
	return to
}

func (a *ask) busy(now time.Time) bool { return a.atOnce || now.Sub(a.brought) < busyFor }

// share is what one broker is to be asked for.
type share struct{ busy, quiet batchOfAsks }

// batchOfAsks is what one fetch asks for.
type batchOfAsks struct {
	asks []*ask
	at   map[target]*ask
}

// put appends a, or joins it to one that asks for the same. It reports false if one asks for another part of the same.
func (b *batchOfAsks) put(a *ask) bool {
	if x := b.at[a.target]; x != nil {
		if x.offset == a.offset {
			x.also = append(append(x.also, a), a.also...)
			a.also = nil
		}
		return x.offset == a.offset
	}
	if b.at == nil {
		b.at = map[target]*ask{}
	}
	b.at[a.target] = a
	b.asks = append(b.asks, a)
	return true
}

// got is what came of an ask.
type got struct {
	entries []entry // valid until the asker returns
	err     error
}

// asker is whoever asks: a member, or a tailer. gone may be called with locks of the fetcher held, and has to be quick. answered may
// call add; the fetcher looks at what is to be sent when it returns.
type asker interface {
	gone() bool
	answered(asks []*ask)
}

// fetcher reads all partitions of a driver.
type fetcher struct {
	d *Driver

	mu        sync.Mutex
	waiting   []*ask
	brokers   map[int32]*[slots]bool // which fetches are under way
	answering int                    // those that will look for more to send themselves
	seeking   bool                   // a goroutine looks for leaders
	closed    bool
	turn      atomic.Uint32
}

// stop lets nothing new begin.
func (f *fetcher) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
}

// add queues asks; flush sends them.
func (f *fetcher) add(asks ...*ask) {
	f.mu.Lock()
	f.waiting = append(f.waiting, asks...)
	f.mu.Unlock()
}

// flush sends what waits and finds a connection. It never blocks.
func (f *fetcher) flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.answering == 0 {
		f.flushLocked()
	}
}

func (f *fetcher) flushLocked() {
	if f.closed || len(f.waiting) == 0 {
		return
	}
	var kept []*ask // without a leader, or without a connection that is free
	by := map[int32]*share{}
	seek := false
	now := time.Now()
	for _, a := range f.waiting {
		if a.asker.gone() {
			continue
		}
		leader := f.d.cl.leader(a.target)
		if leader < 0 {
			seek, kept = true, append(kept, a)
			continue
		}
		s := by[leader]
		if s == nil {
			s = &share{}
			by[leader] = s
		}
		if (a.busy(now) || !s.quiet.put(a)) && !s.busy.put(a) {
			kept = append(kept, a)
		}
	}
	for leader, s := range by {
		kept = append(kept, f.startSome(leader, s)...)
	}
	clear(f.waiting)
	f.waiting = append(f.waiting[:0], kept...)
	if seek && !f.seeking {
		f.seeking = true
		f.d.bgWait.Go(f.seek)
	}
}

// startSome starts fetches on the connections to a broker that are free, and returns what has to wait for one.
func (f *fetcher) startSome(leader int32, s *share) (kept []*ask) {
	under := f.brokers[leader]
	if under == nil {
		under = &[slots]bool{}
		f.brokers[leader] = under
	}
	slot := slotBusy
	if under[slotBusy] {
		slot = slotBetween
	}
	if !under[slotQuiet] {
		f.start(leader, slotQuiet, quietWait, s.quiet.asks)
	} else if len(s.busy.asks) == 0 && slot == slotBusy {
		f.start(leader, slotBusy, quietWait, s.quiet.asks)
	} else { // rather in a short fetch than not at all
		for _, a := range s.quiet.asks {
			if !s.busy.put(a) {
				kept = a.apart(kept)
			}
		}
	}
	if under[slot] {
		for _, a := range s.busy.asks {
			kept = a.apart(kept)
		}
		return kept
	}
	f.start(leader, slot, slotWait[slot], s.busy.asks)
	return kept
}

func (f *fetcher) start(leader int32, slot int, wait time.Duration, asks []*ask) {
	if len(asks) == 0 {
		return
	}
	for _, a := range asks {
		if a.atOnce {
			wait = 0
		}
	}
	f.brokers[leader][slot] = true
	f.d.bgWait.Go(func() { f.run(leader, slot, wait, asks) })
}

// entries are the pooled slices that fetches are read into.
var entries = sync.Pool{New: func() any { return new([]entry) }}

// run is one fetch.
func (f *fetcher) run(leader int32, slot int, wait time.Duration, asks []*ask) {
	es := entries.Get().(*[]entry)
	defer entries.Put(es)
	slices.SortFunc(asks, func(a, b *ask) int { return compareTargets(a.target, b.target) }) // a topic is named once
	if f.turn.Add(1)%2 == 0 {
		slices.Reverse(asks) // a broker fills its answer in this order
	}
	sent, err := f.d.fetch(f.d.bg, leader, asks, wait, es)
	if f.d.bg.Err() != nil {
		return
	}
	f.mu.Lock()
	f.answering++
	f.mu.Unlock()
	if err != nil {
		f.d.brokerFailed(leader, sent, err)
	} else {
		f.d.isUp()
	}
	f.answer(expand(asks), err)
	clear(*es)
	f.mu.Lock()
	f.brokers[leader][slot] = false
	if f.answering--; f.answering == 0 {
		f.flushLocked()
	}
	f.mu.Unlock()
}

// expand adds those that asked for the same, with bodies of their own.
func expand(asks []*ask) []*ask {
	for _, a := range asks {
		for _, x := range a.also {
			x.got = got{err: a.got.err}
			for _, e := range a.got.entries {
				e.body = bytes.Clone(e.body)
				x.got.entries = append(x.got.entries, e)
			}
			asks = append(asks, x)
		}
		a.also = nil
	}
	return asks
}

// answer tells the askers, and keeps what has to be asked for elsewhere or again.
func (f *fetcher) answer(asks []*ask, err error) {
	var again []*ask
	for i := 0; i < len(asks); {
		n := 1
		for i+n < len(asks) && asks[i+n].asker == asks[i].asker {
			n++
		}
		all := asks[i : i+n]
		i += n
		for _, a := range all {
			switch {
			case err != nil:
				a.got = got{err: err}
			case len(a.got.entries) > 0:
				a.brought = time.Now()
			}
			if e := a.got.err; e != nil {
				f.d.cl.forget(a.topic)
			}
		}
		failed := slices.ContainsFunc(all, func(a *ask) bool { return a.got.err != nil })
		if !failed {
			all[0].asker.answered(all)
			continue
		}
		var well []*ask
		for _, a := range all {
			if a.got.err == nil || isKafka(a.got.err, kafkago.OffsetOutOfRange) {
				well = append(well, a)
			} else {
				again = append(again, a)
			}
		}
		if len(well) > 0 {
			all[0].asker.answered(well)
		}
	}
	if len(again) > 0 {
		f.d.bgWait.Go(func() { f.later(again) })
	}
}

// failer is an asker that wants to know why it is not answered.
type failer interface{ failedWith(error) }

func (f *fetcher) later(asks []*ask) {
	for _, a := range asks {
		if x, ok := a.asker.(failer); ok && !a.asker.gone() {
			x.failedWith(a.got.err)
		}
	}
	if sleep(f.d.bg, askAgain) {
		f.add(asks...)
		f.flush()
	}
}

// seek asks where the partitions are that wait for a leader, until there are none.
func (f *fetcher) seek() {
	for {
		var topics []string
		f.mu.Lock()
		for _, a := range f.waiting {
			if !a.asker.gone() && f.d.cl.leader(a.target) < 0 && !slices.Contains(topics, a.topic) {
				topics = append(topics, a.topic)
			}
		}
		if f.seeking = len(topics) > 0; !f.seeking {
			if f.answering == 0 { // others may have found what was sought here: nobody else would send it
				f.flushLocked()
			}
			f.mu.Unlock()
			return
		}
		f.mu.Unlock()
		_, err := f.d.cl.refresh(f.d.bg, topics)
		if err != nil {
			f.d.wentDown(err)
		}
		f.flush()
		unknown := slices.ContainsFunc(topics, func(t string) bool { return f.d.cl.knownLeaders(t) == nil })
		if (err != nil || unknown) && !sleep(f.d.bg, askAgain) {
			return
		}
	}
}

// fetch sets got of each ask, with entries in es, or fails for all. sent tells, of an error, whether the broker was reached.
func (d *Driver) fetch(ctx context.Context, leader int32, asks []*ask, wait time.Duration, es *[]entry) (sent bool, err error) {
	a := d.cl.addr(leader)
	if a == "" {
		return false, kafkago.BrokerNotAvailable
	}
	limit := wait + d.set.timeout
	return d.cl.links.talk(ctx, a, limit, func(l *link) error {
		answer, err := l.send(ctx, limit, appendFetch(l, asks, wait))
		if err != nil {
			return err
		}
		return readFetched(answer, asks, es, &l.arena)
	})
}
