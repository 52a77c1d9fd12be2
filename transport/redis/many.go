package redis

import (
	"context"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// Where there is no bell (bell.go): with many streams a read of all of them costs more than the calls that it brings: Redis looks at each key, and a read that
// blocks enters and leaves each one's list of waiters, about 1 µs a key. So while few streams bring much, only those are
// read, and the others are swept from time to time. While none does, all are waited for as usual, and nobody waits longer.
const (
	// manyStreams is from how many streams with credit on this is done, and the most of them that count as busy.
	manyStreams = 64
	// burst is how many deliveries one read must bring of a stream for it to be busy, for busyFor.
	burst   = 16
	busyFor = 100 * time.Millisecond
	// sweepPause times what a sweep took is the pause before the next, within sweepMin and sweepMax: a tenth of the broker's
	// time at most goes there, and a stream that was quiet waits sweepMax and a sweep at most.
	sweepPause = 10
	sweepMin   = 5 * time.Millisecond
	sweepMax   = 20 * time.Millisecond
	// sweepLeast is the room from which on a sweep reads one message a stream; with less, a script reads exact counts.
	sweepLeast = 32
)

// onceOfMany makes one turn of the plan for many streams.
func (c *consumer) onceOfMany(ctx context.Context, limit int) ([]transport.Delivery, error) {
	if c.hang() {
		return c.onceOfRung(ctx, limit)
	}
	if room := c.narrow(limit); room > 0 && mono() < c.nextSweep {
		wants, active := c.wants, c.active
		c.wants, c.active = c.hotWants, c.hotActive
		defer func() { c.wants, c.active = wants, active }()
		return c.onceOfFew(ctx, room, time.Duration(c.nextSweep-mono()))
	}
	start := mono()
	ds, err := c.sweep(ctx, limit, sweepLeast)
	c.nextSweep = mono() + int64(min(max(time.Duration(mono()-start)*sweepPause, sweepMin), sweepMax))
	if len(ds) > 0 || err != nil || c.narrow(limit) > 0 {
		return ds, err
	}
	return c.block(ctx, limit, blockTime)
}

// narrow lists the busy streams among the wants, in their order, and returns the room that there is for them beside what is
// reserved for others: 0 if none is busy, or many are.
func (c *consumer) narrow(limit int) (room int) {
	c.hotWants, c.hotActive = c.hotWants[:0], c.hotActive[:0]
	now := mono()
	for i, w := range c.wants {
		if w.cs.busyUntil > now {
			c.hotWants, c.hotActive = append(c.hotWants, w), append(c.hotActive, c.active[i])
		} else {
			limit -= w.own
		}
	}
	if len(c.hotWants) == 0 || len(c.hotWants) > manyStreams {
		return 0
	}
	return max(limit, 0)
}

// onceOfRung makes one turn with a bell: it waits for it, or reads the streams that have rung.
func (c *consumer) onceOfRung(ctx context.Context, limit int) ([]transport.Delivery, error) {
	c.ringAll()
	c.hotWants, c.hotActive = c.hotWants[:0], c.hotActive[:0]
	for i, w := range c.wants {
		if w.cs.rung && len(c.hotWants) < scriptKeys {
			c.hotWants, c.hotActive = append(c.hotWants, w), append(c.hotActive, c.active[i])
		} else {
			limit -= w.own // reserved for streams that are not read now
		}
	}
	if len(c.hotWants) == 0 || limit < 1 {
		return nil, c.await(ctx, min(c.nextClaim.Load(), c.nextSweep))
	}
	wants, active := c.wants, c.active
	c.wants, c.active = c.hotWants, c.hotActive
	defer func() { c.wants, c.active = wants, active }()
	c.ledger.Reset(limit, c.active)
	if count, _ := c.ledger.Uniform(); count > 0 {
		return c.read(ctx, limit, count, noWait)
	}
	return c.sweep(ctx, limit, 1)
}

// emptied takes those streams for silent of which a read brought less than count.
func (c *consumer) emptied(count int) {
	for _, w := range c.wants {
		w.cs.rung = false
	}
	run := 0
	for i, e := range c.entries { // entries of one stream are together
		if i > 0 && c.entries[i-1].stream != e.stream {
			run = 0
		}
		if run++; run >= count {
			c.wants[e.stream].cs.rung = true
		}
	}
}

// sweep reads all streams once, in their order and without waiting: at a time as many as the limits allow for sure, one
// message of each. Then it reads more of those that had one. With less room than least a script does it.
func (c *consumer) sweep(ctx context.Context, limit, least int) ([]transport.Delivery, error) {
	if limit < least {
		return c.poll(ctx, limit)
	}
	wants, active := c.wants, c.active
	defer func() { c.wants, c.active = wants, active }()
	c.more, c.moreActive = c.more[:0], c.moreActive[:0]
	var all []transport.Delivery
	pool, reserved := limit, 0 // reserved: of streams that brought nothing
	for _, w := range wants {
		reserved += w.own
	}
	pool -= reserved
	for next := 0; next < len(wants) && limit-len(all) >= least && ctx.Err() == nil; {
		c.part, c.partActive = c.part[:0], c.partActive[:0]
		free := max(pool, 0)
		for ; next < len(wants) && len(c.part) < min(limit-len(all), scriptKeys); next++ {
			if wants[next].own == 0 {
				if free == 0 && pool > 0 {
					break // its turn comes with the next read
				}
				if free == 0 {
					continue
				}
				free--
			}
			c.part, c.partActive = append(c.part, wants[next]), append(c.partActive, active[next])
		}
		if len(c.part) == 0 {
			break
		}
		c.wants, c.active = c.part, c.partActive
		ds, err := c.read(ctx, limit-len(all), 1, noWait)
		all = append(all, ds...)
		for i := range ds {
			k := c.byKey[ds[i].Token.(*token).cs.st.key]
			if reserved -= c.part[k].own; c.part[k].own == 0 {
				pool--
			}
			if cr := c.partActive[k]; cr.Max > 1 {
				cr.Max, cr.Own = cr.Max-1, max(cr.Own-1, 0)
				c.more, c.moreActive = append(c.more, want{c.part[k].cs, cr.Max, cr.Own}), append(c.moreActive, cr)
			}
		}
		if err != nil {
			return all, err
		}
	}
	limit -= len(all) + reserved
	c.wants, c.active = c.more, c.moreActive
	c.ledger.Reset(limit, c.active)
	count, _ := c.ledger.Uniform()
	if len(c.more) == 0 || count == 0 {
		return all, nil
	}
	ds, err := c.read(ctx, limit, count, noWait)
	return append(all, ds...), err
}
