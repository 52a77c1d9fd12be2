package redis

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/transport"
)

const (
	// wakeEvery is how often CLIENT UNBLOCK is repeated: the first may come before the read has begun to block.
	wakeEvery = 20 * time.Millisecond
	// wakeMost is how long a woken read may take to return before its connection is closed: the broker is silent. What it
	// may have delivered there is pending, and comes again after its lease.
	wakeMost = 250 * time.Millisecond
	// restorePause keeps a stream that vanishes again and again from becoming a busy loop.
	restorePause = 100 * time.Millisecond
	// failPause is the pause after a failed read, against callers that call again at once.
	failPause = 100 * time.Millisecond
	// clusterPause is the longest pause between polls of several idle streams in a Cluster.
	clusterPause = 20 * time.Millisecond
	// clusterBlock is how long one blocking read waits in a Cluster.
	clusterBlock = 100 * time.Millisecond
)

// Receive reads by this plan: what is free for the taking first (every quarter of a lease). While several streams have
// messages, a script reads exact counts in the order of the credits. Once that finds nothing, one blocked XREADGROUP waits on
// all streams with credit; its COUNT, which Redis counts for each stream, is the share of max that each may have, at least 1.
// For more than 64 streams with credit many.go has another.
func (c *consumer) Receive(ctx context.Context, limit int, credits []transport.Credit) ([]transport.Delivery, error) {
	c.inRead.Lock()
	defer c.inRead.Unlock()
	if err := c.usable(ctx); err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, failMsg(transport.CodeInvalid, "receive", "", "max is "+strconv.Itoa(limit)+"; at least 1 is needed")
	}
	if err := c.take(limit, credits); err != nil {
		return nil, err
	}
	if len(c.wants) == 0 {
		return nil, c.idle(ctx)
	}
	for {
		if err := c.pauseAfterFailure(ctx); err != nil {
			return nil, err
		}
		ds, err := c.once(ctx, limit)
		if err != nil && transport.IsCode(err, transport.CodeNotFound) {
			err = c.restore(ctx)
		}
		if len(ds) > 0 {
			return ds, nil
		}
		if e := c.usable(ctx); e != nil {
			return nil, e
		}
		if err != nil {
			c.failedAt = time.Now()
			return nil, err
		}
	}
}

func (c *consumer) usable(ctx context.Context) error {
	if c.closed.Load() {
		return failMsg(transport.CodeClosed, "receive", "", "the consumer is closed")
	}
	return ctx.Err()
}

// idle waits for nothing: there is no credit.
func (c *consumer) idle(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-c.gone:
	}
	return c.usable(ctx)
}

func (c *consumer) pauseAfterFailure(ctx context.Context) error {
	wait := failPause - time.Since(c.failedAt)
	if c.failedAt.IsZero() || wait <= 0 {
		return nil
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
	case <-c.gone:
	}
	return c.usable(ctx)
}

// once makes one turn of the plan.
func (c *consumer) once(ctx context.Context, limit int) ([]transport.Delivery, error) {
	if mono() >= c.nextClaim.Load() {
		c.nextClaim.Store(mono() + int64(c.claimEvery()))
		if ds, err := c.claim(ctx, limit); len(ds) > 0 || err != nil {
			return ds, err
		}
	}
	if len(c.wants) > manyStreams && c.d.set.mode != cluster {
		return c.onceOfMany(ctx, limit)
	}
	return c.onceOfFew(ctx, limit, c.d.blockTime())
}

// onceOfFew makes one turn of the plan for streams that one read may well cover; it waits for atMost.
func (c *consumer) onceOfFew(ctx context.Context, limit int, atMost time.Duration) ([]transport.Delivery, error) {
	if c.busy && len(c.wants) > 1 {
		ds, err := c.poll(ctx, limit)
		c.busy = len(ds) > 0
		if len(ds) > 0 || err != nil {
			return ds, err
		}
	}
	return c.block(ctx, limit, atMost)
}

// block waits in the broker, for atMost and until it is time to claim.
func (c *consumer) block(ctx context.Context, limit int, atMost time.Duration) ([]transport.Delivery, error) {
	if c.d.set.mode == cluster && len(c.wants) > 1 {
		return c.blockCluster(ctx, limit)
	}
	c.ledger.Reset(limit, c.active)
	count, _ := c.ledger.Uniform()
	count = max(1, count)
	wait := time.Duration(c.nextClaim.Load() - mono())
	return c.read(ctx, limit, count, max(min(wait, atMost), time.Millisecond))
}

// noWait makes read return at once.
const noWait = time.Duration(-1)

// read reads the wants with one command, count of each, and waits for them.
func (c *consumer) read(ctx context.Context, limit, count int, wait time.Duration) ([]transport.Delivery, error) {
	c.ledger.Reset(limit, c.active)
	c.args = append(c.args[:0], "xreadgroup", "group", c.group, c.name, "count", count)
	if wait != noWait {
		c.args = append(c.args, "block", wait.Milliseconds())
	}
	c.args = append(c.args, "streams")
	first := len(c.args)
	clear(c.byKey)
	for i, w := range c.wants {
		c.args = append(c.args, &w.cs.st.key)
		c.byKey[w.cs.st.key] = i
	}
	for range c.wants {
		c.args = append(c.args, ">")
	}
	cmd := goredis.NewRawCmd(context.Background(), c.args...)
	cmd.SetFirstKeyPos(int8(first)) //nolint:gosec // at most 9
	seq := c.reading.Add(1)
	if c.closed.Load() { // Close found no read to wake
		c.reading.Add(1)
		return nil, nil
	}
	stop := context.AfterFunc(ctx, func() { c.wakeUp(seq) })
	c.readAt = mono()
	var err error
	if c.bell.conn != nil && c.bell.conn == c.link.live() {
		err = c.exchange(cmd)
	} else {
		err = c.link.pipeline([]goredis.Cmder{cmd})
	}
	stop()
	c.reading.Add(1)
	if err == nil {
		err = cmd.Err()
	}
	if err != nil {
		return nil, connFail("receive", "", err)
	}
	c.entries, err = parseStreams(cmd.Val(), func(key []byte) int {
		if i, ok := c.byKey[string(key)]; ok {
			return i
		}
		return -1
	}, c.entries[:0])
	defer clear(c.entries)
	if err != nil {
		return nil, fail("receive", "", err)
	}
	c.emptied(count)
	return c.deliver(ctx, count), nil
}

// blockCluster polls: one blocking read can't cover streams that live in several slots.
func (c *consumer) blockCluster(ctx context.Context, limit int) ([]transport.Delivery, error) {
	for pause := time.Millisecond; ; pause = min(2*pause, clusterPause) {
		ds, err := c.poll(ctx, limit)
		if len(ds) > 0 || err != nil || mono() >= c.nextClaim.Load() {
			return ds, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, nil
		case <-c.gone:
			return nil, nil
		}
	}
}

// deliver turns what was read into deliveries; what is beyond the limits goes back.
func (c *consumer) deliver(ctx context.Context, count int) []transport.Delivery {
	c.busy = false
	kept, surplus, last := c.entries[:0], []entry(nil), -1
	for i, e := range c.entries { // entries of one stream are together
		c.busy = c.busy || last >= 0 && e.stream != last || i+1 == count && count < c.wants[e.stream].n
		last = e.stream
		if c.ledger.Allow(e.stream) > 0 {
			c.ledger.Take(e.stream, 1)
			kept = append(kept, e)
		} else {
			surplus = append(surplus, e)
		}
	}
	if len(surplus) > 0 {
		c.giveBack(ctx, surplus)
	}
	ds := make([]transport.Delivery, len(kept))
	toks := make([]token, len(kept))
	ids, now := idStrings(kept), c.d.brokerNow()
	run := 0
	for i, e := range kept {
		cs := c.wants[e.stream].cs
		if i > 0 && e.stream != kept[i-1].stream {
			run = 0
		}
		if run++; run == burst {
			cs.busyUntil = c.readAt + int64(busyFor)
		}
		toks[i].cs, toks[i].bytes = cs, len(e.body)
		toks[i].leased.Store(c.readAt)
		id := ids[:len(e.id)]
		ids = ids[len(id):]
		ds[i] = newDelivery(cs.st, id, e.body, 1, &toks[i], now)
	}
	return ds
}

// idStrings is all ids in one string, which their own are cut from: one allocation for a batch.
func idStrings(entries []entry) string {
	n := 0
	for _, e := range entries {
		n += len(e.id)
	}
	var b strings.Builder
	b.Grow(n)
	for _, e := range entries {
		b.Write(e.id)
	}
	return b.String()
}

// giveBack makes surplus entries claimable at once, for anyone, as if they had not been delivered. The streams with the
// least preference come last in the reply, and so go back first.
func (c *consumer) giveBack(ctx context.Context, surplus []entry) {
	var cmds []goredis.Cmder
	for len(surplus) > 0 {
		n := 1
		for n < len(surplus) && surplus[n].stream == surplus[0].stream {
			n++
		}
		cs := c.wants[surplus[0].stream].cs
		args := []any{"xclaim", cs.st.key, c.group, c.name, 0}
		for _, e := range surplus[:n] {
			args = append(args, string(e.id))
		}
		args = append(args, "idle", c.lease.Milliseconds(), "retrycount", 0, "justid")
		cmds = append(cmds, goredis.NewCmd(context.Background(), args...))
		c.d.event(transport.Event{Kind: transport.EventSurplus, Stream: cs.st.name, N: int64(n)})
		surplus = surplus[n:]
	}
	// Not the caller's ctx: it may have ended, and then these would be stuck for a whole lease.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wakeMost)
	defer cancel()
	_, _ = c.d.cmd.do(ctx, cmds, 0)
	c.claimSoon()
}

// blockTime is short in a Cluster: there a blocked read can't be woken.
func (d *Driver) blockTime() time.Duration {
	if d.set.mode == cluster {
		return clusterBlock
	}
	return blockTime
}

// wakeUp ends the blocked read, or the wait for the bell, with the given number, if it still goes on.
func (c *consumer) wakeUp(seq int64) {
	c.bell.wake(func() bool { return c.reading.Load() == seq })
	c.d.wake(c.link, func() bool { return c.reading.Load() == seq })
}

// wake unblocks a link's read for as long as it blocks, and at last closes its connection. In a Cluster, where the link's
// reads are short, it leaves them to end by themselves.
func (d *Driver) wake(l *link, blocked func() bool) {
	if d.set.mode == cluster {
		return
	}
	deadline := time.Now().Add(wakeMost)
	for blocked() && time.Now().Before(deadline) {
		if id := l.id.Load(); id != 0 {
			ctx, cancel := context.WithDeadline(context.Background(), deadline)
			_, _ = d.cmd.do(ctx, []goredis.Cmder{goredis.NewIntCmd(context.Background(), "client", "unblock", id)}, 0)
			cancel()
		}
		for range int(wakeEvery / time.Millisecond) {
			if !blocked() {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	if blocked() {
		l.abort()
	}
}

// restore makes the streams and groups again that this consumer reads and this driver ensured, not more often than each
// restorePause.
func (c *consumer) restore(ctx context.Context) error {
	if wait := restorePause - time.Since(c.restored); wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		case <-c.gone:
		}
		if err := c.usable(ctx); err != nil {
			return err
		}
	}
	c.restored = time.Now()
	var states []*streamState
	var missing *streamState
	for _, w := range c.wants {
		w.cs.cursor = "-"
		if st := c.d.stream(w.cs.st.name); st != nil && c.d.ensured(st, c.group) {
			states = append(states, st)
		} else {
			missing = w.cs.st
		}
	}
	made, err := c.d.recreate(ctx, states)
	if err == nil && made == 0 && missing != nil {
		return failMsg(transport.CodeNotFound, "receive", missing.name, "the stream or its group "+c.group+" does not exist: call Ensure")
	}
	return err
}

// rows reads what claimScript and pollScript answer.
func (c *consumer) rows(v any, wants []want) (ds []transport.Delivery, redelivered, deleted []int64, err error) {
	rows, _ := v.([]any)
	now := c.d.brokerNow()
	redelivered, deleted = make([]int64, len(wants)), make([]int64, len(wants))
	for i, r := range rows {
		row, ok := r.([]any)
		if !ok || len(row) < 2 || i >= len(wants) {
			return ds, redelivered, deleted, failMsg(transport.CodeInternal, "receive", "", "a script's answer can't be understood")
		}
		cs := wants[i].cs
		cursor, _ := row[0].(string)
		deleted[i] = asInt(row[1])
		if strings.ContainsRune(cursor, ' ') && err == nil {
			err = fail("receive", cs.st.name, replyError(strings.TrimPrefix(cursor, "-")))
			continue
		}
		if cursor != "" {
			cs.cursor = cursor
		}
		for f := row[2:]; len(f) >= 3; f = f[3:] {
			id, _ := f[0].(string)
			body, _ := f[1].(string)
			tok := &token{cs: cs, bytes: len(body)}
			tok.leased.Store(c.readAt)
			ds = append(ds, newDelivery(cs.st, id, []byte(body), int(max(1, asInt(f[2]))), tok, now))
			redelivered[i]++
		}
		if redelivered[i] >= burst {
			cs.busyUntil = c.readAt + int64(busyFor)
		}
	}
	return slices.Clip(ds), redelivered, deleted, err
}
