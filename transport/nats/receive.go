package nats

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/streamerson/streamerson/transport"
)

const (
	// pullFor is how long a pull waits at the server before it is renewed; one that is silent for pullGrace longer is lost.
	pullFor   = 5 * time.Second
	pullGrace = time.Second
	// sliceFor is how long a pull waits where there are more streams than slots, and they take turns.
	sliceFor = 50 * time.Millisecond
	// lingerFor is how long pulls stay out between two Receives.
	lingerFor = 10 * time.Millisecond
	// maxSlab is how many deliveries of a stream get their room in one allocation.
	maxSlab = 128
	// downFor is how long Receive waits for the connection before it tells.
	downFor = 500 * time.Millisecond
)

// Receive asks each stream with credit for as much as all of them may bring together, in one pull that the server answers at
// once if it has anything, and otherwise when it gets something. Pulls that were not used when it returns stay out for the
// next Receive if its credits cover them; if not, or if none comes within 10 ms, they are taken back.
func (c *consumer) Receive(ctx context.Context, limit int, credits []transport.Credit) ([]transport.Delivery, error) {
	if limit < 1 {
		return nil, failMsg(transport.CodeInvalid, "receive", "", "max must be at least 1")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !c.receiving.CompareAndSwap(false, true) {
		return nil, failMsg(transport.CodeInvalid, "receive", "", "another Receive of this consumer is running; call it from one goroutine")
	}
	defer c.receiving.Store(false)
	select {
	case <-c.done:
		return nil, errClosed("receive")
	case <-c.idle: // a recall in the background may be in it
	}
	defer func() {
		if len(c.out) > 0 {
			c.linger.Reset(lingerFor)
		}
		c.idle <- struct{}{}
	}()
	c.linger.Stop()
	for {
		ds, err := c.receive(ctx, min(limit, maxAsked), credits)
		if len(ds) > 0 || err != nil {
			return ds, err
		}
	}
}

// receive is one round of pulls. Neither deliveries nor an error means that another round is due.
func (c *consumer) receive(ctx context.Context, limit int, credits []transport.Credit) ([]transport.Delivery, error) {
	if err := c.ended(ctx); err != nil {
		return nil, err
	}
	if !c.d.link.await(ctx, c.done, downFor) {
		if err := c.ended(ctx); err != nil {
			return nil, err
		}
		return nil, errDown("receive", "", natsgo.ErrDisconnected)
	}
	lost, _ := c.d.link.current()
	if len(c.out) > 0 && (c.outLost != lost || !c.covers(limit, credits)) {
		if ds := c.admit(c.recall(), limit, credits); len(ds) > 0 {
			return ds, nil
		}
	}
	if err := c.serve(ctx, credits); err != nil {
		return nil, err
	}
	r := &round{c: c, ctx: ctx, credits: credits, limit: limit, got: make([][]transport.Delivery, len(credits))}
	r.lost, r.out = lost, c.out
	c.out, c.outLost = nil, lost
	return r.run()
}

// covers reports whether the pulls that are out, and one more for each other stream with credit, fit into credits.
func (c *consumer) covers(limit int, credits []transport.Credit) bool {
	if len(credits) != len(c.list) {
		return false
	}
	l := &c.ledger
	l.Reset(limit, credits)
	for i, p := range c.list {
		if p.stream != credits[i].Stream || p.left > l.Allow(i) {
			return false
		}
		l.Take(i, p.left)
	}
	for i, p := range c.list {
		if credits[i].Max > 0 && p.left == 0 {
			if l.Allow(i) == 0 {
				return false
			}
			l.Take(i, 1)
		}
	}
	return true
}

// recall takes back the pulls that are out, and returns what they have brought.
func (c *consumer) recall() []transport.Delivery {
	r := &round{c: c, ctx: context.Background(), lost: c.outLost, out: c.out, got: make([][]transport.Delivery, len(c.list))}
	c.out = nil
	r.rest()
	r.takeBack()
	return slices.Concat(r.got...)
}

// admit takes into the books what the credits allow, and gives the surplus back.
func (c *consumer) admit(ds []transport.Delivery, limit int, credits []transport.Credit) []transport.Delivery {
	c.ledger.Reset(limit, credits)
	kept := make([][]transport.Delivery, len(credits))
	n := 0
	for _, x := range ds {
		i := slices.IndexFunc(credits, func(cr transport.Credit) bool { return cr.Stream == x.Stream })
		if i < 0 || c.ledger.Allow(i) == 0 {
			_ = c.d.nc.Publish(x.Token.(*lease).ack, nak) // otherwise its lease frees it
			c.d.event(transport.Event{Kind: transport.EventSurplus, Stream: x.Stream, N: 1})
			continue
		}
		c.ledger.Take(i, 1)
		kept[i] = append(kept[i], x)
		n++
	}
	if n == 0 {
		return nil
	}
	return c.hold(kept, n)
}

// lingered ends the pulls that no Receive has come back for.
func (c *consumer) lingered() {
	select {
	case <-c.idle:
		c.admit(c.recall(), 0, nil)
		c.idle <- struct{}{}
	default: // a Receive has come
	}
}

// ended tells whether the consumer or the call has.
func (c *consumer) ended(ctx context.Context) error {
	select {
	case <-c.done:
		return errClosed("receive")
	default:
		return ctx.Err()
	}
}

// round is one set of pulls and what they bring.
type round struct {
	c       *consumer
	ctx     context.Context
	credits []transport.Credit
	limit   int
	lost    <-chan struct{}
	out     []*pulled // the pulls that are out
	got     [][]transport.Delivery
	slab    []lease   // room for those that come next
	now     time.Time // when it was last waited: what is there since then is taken as of this moment
	n       int
	err     error
	// vanished are the streams whose group was gone.
	vanished []*pulled
}

func (r *round) run() ([]transport.Delivery, error) {
	l := &r.c.ledger
	l.Reset(r.limit, r.credits)
	count, streams := l.Uniform()
	wait := pullFor
	switch {
	case len(r.out) > 0:
		return r.goOn(count)
	case streams == 0: // served, but no slot is free
		select {
		case <-r.ctx.Done():
		case <-r.c.done:
		}
		return nil, r.c.ended(r.ctx)
	case streams == 1:
		r.grant(count, streams, 0)
	case count > 0 && streams <= maxStreams:
		// Look first: what is asked without waiting ends by itself, and need not be taken back while messages come.
		r.grant(count, streams, 0)
		r.ask(0)
		r.collect(r.c.d.set.timeout, true)
		if r.takeBack(); r.done() {
			return r.end()
		}
		l.Reset(r.limit, r.credits)
		r.grant(count, streams, 0)
	default:
		// More streams than slots: first see who has something, in the order of credits, then let them take turns.
		if r.poll(); r.done() {
			return r.end()
		}
		wait = sliceFor
		r.grant(1, streams, r.c.next)
		r.c.next = (r.c.next + len(r.out)) % max(1, len(r.credits))
	}
	r.ask(wait)
	r.collect(wait+pullGrace, false)
	if wait == pullFor {
		return r.leave()
	}
	r.takeBack()
	return r.end()
}

// goOn waits with the pulls that are out from the last Receive, and with new ones for the other streams.
func (r *round) goOn(count int) ([]transport.Delivery, error) {
	l := &r.c.ledger
	l.Reset(r.limit, r.credits)
	renew := pullFor
	for i, p := range r.c.list {
		l.Take(i, p.left)
		if p.left > 0 {
			renew = min(renew, time.Until(p.until))
		}
	}
	old := r.out
	r.out = nil
	for i, p := range r.c.list {
		if p.left == 0 && l.Allow(i) > 0 { // covers has seen to one for each
			r.give(p, i, 1)
		}
	}
	for _, p := range r.out {
		if n := min(l.Allow(p.place), count-1); n > 0 {
			r.give(p, p.place, n)
		}
	}
	r.ask(pullFor)
	r.out = append(old, r.out...)
	r.collect(max(0, renew)+pullGrace, false)
	return r.leave()
}

// leave ends a round whose pulls may stay out. Those that should have ended by themselves are taken back.
func (r *round) leave() ([]transport.Delivery, error) {
	now := time.Now()
	for _, p := range r.out {
		if p.left > 0 && (now.After(p.until.Add(pullGrace/2)) || r.err != nil || len(r.vanished) > 0 || r.c.ended(r.ctx) != nil && r.ctx.Err() == nil) {
			r.takeBack()
			return r.end()
		}
	}
	select {
	case <-r.lost:
		r.takeBack()
		return r.end()
	default:
	}
	for _, p := range r.out {
		if p.left > 0 {
			r.c.out = append(r.c.out, p)
		}
	}
	return r.end()
}

// grant shares the credits out: count to each stream, as far as they go, beginning at from; what is left goes to the first.
func (r *round) grant(count, streams, from int) {
	l := &r.c.ledger
	for k := range r.credits {
		i := (from + k) % len(r.credits)
		p := r.c.list[i]
		if n := min(l.Allow(i), count); n > 0 && len(r.out) < maxStreams {
			r.give(p, i, n)
		}
	}
	if streams == 1 {
		return
	}
	for i := range r.credits {
		if n := l.Allow(i); n > 0 && r.c.list[i].left > 0 {
			r.give(r.c.list[i], i, n)
		}
	}
}

func (r *round) give(p *pulled, i, n int) {
	if p.left == 0 {
		r.out = append(r.out, p)
	}
	p.left += n
	r.c.ledger.Take(i, n)
}

// poll asks, without waiting, stream after stream in the order of credits, each for all that the ledger allows, many at once.
func (r *round) poll() {
	l := &r.c.ledger
	tried := make([]bool, len(r.credits))
	for {
		l.Reset(r.limit, r.credits)
		for i := range r.credits {
			if n := l.Allow(i); n > 0 && !tried[i] && len(r.out) < maxStreams {
				tried[i] = true
				r.give(r.c.list[i], i, n)
			}
		}
		if len(r.out) == 0 {
			break
		}
		r.ask(0)
		r.collect(r.c.d.set.timeout, true)
		if r.takeBack(); r.done() {
			break
		}
	}
	l.Reset(r.limit, r.credits)
}

// ask sends the pulls. wait 0 means that a stream without messages says so at once.
func (r *round) ask(wait time.Duration) {
	for _, p := range r.out {
		p.until = time.Now().Add(wait)
		if p.sub == nil {
			if err := r.c.subscribe(p); err != nil {
				p.left, r.err = 0, errDown("receive", p.stream, err)
				continue
			}
		}
		p.pull++
		request := make([]byte, 0, 64)
		request = append(request, `{"batch":`...)
		request = strconv.AppendInt(request, int64(p.left), 10)
		request = append(request, `,"no_wait":true`...)
		if wait > 0 {
			request = append(request, `,"expires":`...)
			request = strconv.AppendInt(request, int64(wait), 10)
		}
		request = append(request, '}')
		reply := p.prefix + strconv.FormatUint(p.pull, 36)
		if err := r.c.d.nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+jsStream(p.stream)+"."+token(r.c.group), reply, request); err != nil {
			p.left, r.err = 0, errDown("receive", p.stream, err)
		}
	}
}

// subscribe gives a stream an inbox of its own, so that its pulls can be taken back by ending that.
func (c *consumer) subscribe(p *pulled) error {
	c.d.mu.Lock()
	serial := c.d.next()
	c.d.mu.Unlock()
	p.prefix = c.d.set.inboxPrefix + "." + c.d.instance + "-pull." + strconv.FormatInt(int64(serial), 36) + "."
	var err error
	if p.sub, err = c.d.nc.ChanSubscribe(p.prefix+"*", c.inbox); err != nil {
		p.sub = nil
		return err
	}
	c.bySub[p.sub] = p
	return nil
}

// done reports whether the round has a result, or a reason to begin anew.
func (r *round) done() bool { return r.n > 0 || r.err != nil || len(r.vanished) > 0 }

// collect reads until no pull is out, unless with all until one that brought something has ended, or until there is a reason
// to stop.
func (r *round) collect(limit time.Duration, all bool) {
	stop, closing := r.ctx.Done(), r.c.done
	if all { // the answers come at once
		stop, closing = nil, nil
	}
	t := time.NewTimer(limit)
	defer t.Stop()
	r.now = time.Now()
	for r.busy() {
		select {
		case m := <-r.c.inbox:
			if r.take(m) && r.n > 0 && !all {
				r.rest()
				return
			}
			continue
		default:
		}
		select {
		case m := <-r.c.inbox:
			r.now = time.Now()
			if r.take(m) && r.n > 0 && !all {
				r.rest()
				return
			}
		case <-stop:
			return
		case <-closing:
			return
		case <-r.lost:
			return
		case <-t.C:
			return
		}
	}
}

// rest takes what is there already.
func (r *round) rest() {
	r.now = time.Now()
	for {
		select {
		case m := <-r.c.inbox:
			r.take(m)
		default:
			return
		}
	}
}

func (r *round) busy() bool {
	for _, p := range r.out {
		if p.left > 0 {
			return true
		}
	}
	return false
}

// take reads one message of the inbox. It reports whether that ended a pull.
func (r *round) take(m *natsgo.Msg) bool {
	p := r.c.bySub[m.Sub]
	if p == nil {
		return false // of a subscription that has ended: nothing of it is missed, see takeBack
	}
	if strings.HasPrefix(m.Reply, ackPrefix) {
		p.left = max(0, p.left-1)
		r.deliver(p, m)
		return p.left == 0
	}
	if m.Subject != p.prefix+strconv.FormatUint(p.pull, 36) {
		return false // the status of an earlier pull
	}
	switch status(m) {
	case "":
		return false
	case "100": // an idle heartbeat
		return false
	case "503":
		r.vanished = append(r.vanished, p)
	case "409":
		if strings.Contains(m.Header.Get("Description"), "Consumer Deleted") {
			r.vanished = append(r.vanished, p)
		}
	}
	p.left = 0
	return true
}

func (r *round) deliver(p *pulled, m *natsgo.Msg) {
	meta, ok := readAckSubject(m.Reply)
	if !ok {
		r.err = failMsg(transport.CodeInternal, "receive", p.stream, "a delivery's reply subject can't be read: "+m.Reply)
		return
	}
	more := min(p.left, len(r.c.inbox)) + 1 // as far as it has come
	if len(r.slab) == 0 {
		r.slab = make([]lease, min(more, maxSlab))
	}
	l := &r.slab[0]
	r.slab = r.slab[1:]
	*l = lease{c: r.c, trim: p.trim, ack: m.Reply, size: len(m.Data), until: r.now.Add(r.c.lease)}
	i := p.place
	if len(r.got[i]) == cap(r.got[i]) {
		r.got[i] = slices.Grow(r.got[i], min(more, maxSlab))
	}
	r.got[i] = append(r.got[i], transport.Delivery{
		Stream: p.stream, ID: meta.seq, Body: body(m), Attempt: meta.attempt, Age: r.c.d.age(r.now, meta.stored), Token: l,
	})
	r.n++
}

// takeBack ends the pulls that are out. Draining a subscription keeps it here until the server has ended it: what the server
// had delivered by then is read, and what it could not deliver it gives to others.
func (r *round) takeBack() {
	var drained []*pulled
	for _, p := range r.out {
		if p.left > 0 && p.sub.Drain() == nil {
			drained = append(drained, p)
		}
	}
	if len(drained) > 0 {
		// Its own context: the answer comes within a round trip, and what is left behind would be lost until its lease ends.
		if err := r.c.d.mux.barrier(context.Background(), r.c.d.set.timeout, r.lost); err != nil && r.err == nil && r.n == 0 {
			r.err = errDown("receive", "", err)
		}
		r.rest()
	}
	for _, p := range drained {
		delete(r.c.bySub, p.sub)
		p.sub = nil
	}
	for _, p := range r.out {
		p.left = 0
	}
	r.out = r.out[:0]
}

// end makes the round's result.
func (r *round) end() ([]transport.Delivery, error) {
	if r.n > 0 {
		return r.c.hold(r.got, r.n), nil
	}
	for _, p := range r.vanished {
		p.attached = false
	}
	if err := r.c.ended(r.ctx); err != nil {
		return nil, err
	}
	return nil, r.err
}

// hold takes the deliveries into the books, in the order of credits. A consumer that was closed meanwhile gives them back when
// its Close goes on.
func (c *consumer) hold(got [][]transport.Delivery, n int) []transport.Delivery {
	var ds []transport.Delivery
	for _, g := range got {
		switch {
		case len(g) == n: // all are of one stream
			ds = g
		case len(g) > 0:
			ds = append(slices.Grow(ds, n-len(ds)), g...)
		}
	}
	again := map[string]int64{}
	c.mu.Lock()
	for i := range ds {
		c.leased.add(ds[i].Token.(*lease))
		if ds[i].Attempt > 1 {
			again[ds[i].Stream]++
		}
	}
	c.mu.Unlock()
	for stream, k := range again {
		c.d.event(transport.Event{Kind: transport.EventRedelivered, Stream: stream, N: k})
	}
	return ds
}
