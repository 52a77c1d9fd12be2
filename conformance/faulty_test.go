package conformance

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// The faults of broken drivers, each one that a real driver had or could have.

func acksFirst(ctx context.Context, c *brokenConsumer, batch []transport.Settlement, errs []error) {
	bare := make([]transport.Settlement, len(batch))
	for i, s := range batch {
		bare[i] = transport.Settlement{Delivery: s.Delivery, Verb: s.Verb, Delay: s.Delay}
	}
	c.Consumer.Settle(ctx, bare, errs)
	for i, s := range batch {
		if s.Reply != nil {
			r := make([]transport.Result, 1)
			c.d.Driver.Publish(ctx, []transport.Message{*s.Reply}, r)
			errs[i] = r[0].Err
		}
	}
}

// acksSharers lets only the first of those who share a reply wait for its outcome.
func acksSharers(ctx context.Context, c *brokenConsumer, batch []transport.Settlement, errs []error) {
	bare := slices.Clone(batch)
	for i := range bare {
		if i > 0 && batch[i].Reply == batch[i-1].Reply {
			bare[i].Reply = nil
		}
	}
	c.Consumer.Settle(ctx, bare, errs)
}

// sendsForEach doesn't see that a reply is shared.
func sendsForEach(ctx context.Context, c *brokenConsumer, batch []transport.Settlement, errs []error) {
	own := slices.Clone(batch)
	for i := range own {
		if own[i].Reply != nil {
			m := *own[i].Reply
			own[i].Reply = &m
		}
	}
	c.Consumer.Settle(ctx, own, errs)
}

// acksHighest acks all that was received of the stream before what it is asked to ack.
func acksHighest(ctx context.Context, c *brokenConsumer, batch []transport.Settlement, errs []error) {
	c.Consumer.Settle(ctx, batch, errs)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range batch {
		for i, x := range c.held {
			if x.ID == s.Delivery.ID && s.Verb == transport.Ack {
				c.ackAll(ctx, c.held[:i])
			}
		}
	}
}

// prefetches keeps every promise but one: it fetches one more of each stream than there is credit, and keeps it.
func prefetches(ctx context.Context, c *brokenConsumer, max int, credits []transport.Credit) ([]transport.Delivery, error) {
	more := make([]transport.Credit, len(credits))
	for i, cr := range credits {
		more[i] = transport.Credit{Stream: cr.Stream, Max: cr.Max + 1}
	}
	for {
		left := map[string]int{}
		for _, cr := range credits {
			left[cr.Stream] += cr.Max
		}
		var out, kept []transport.Delivery
		for _, x := range c.spare {
			if len(out) < max && left[x.Stream] > 0 {
				left[x.Stream]--
				out = append(out, x)
			} else {
				kept = append(kept, x)
			}
		}
		c.spare = kept
		if len(out) > 0 {
			return out, nil
		}
		ds, err := c.Consumer.Receive(ctx, max+len(credits), more)
		if err != nil {
			return nil, err
		}
		c.spare = append(c.spare, ds...)
	}
}

func ignoresZero(ctx context.Context, c *brokenConsumer, max int, credits []transport.Credit) ([]transport.Delivery, error) {
	more := make([]transport.Credit, len(credits))
	for i, cr := range credits {
		more[i] = transport.Credit{Stream: cr.Stream, Max: max}
	}
	return c.Consumer.Receive(ctx, max, more)
}

// losesCancelled lets the fetch run on when the call has ended, and drops what it brings.
func losesCancelled(ctx context.Context, c *brokenConsumer, max int, credits []transport.Credit) ([]transport.Delivery, error) {
	ds, err := c.Consumer.Receive(ctx, max, credits)
	if err == nil {
		time.Sleep(500 * time.Microsecond)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return ds, err
}

// groupAtEnd drains what a new group finds.
func groupAtEnd(ctx context.Context, d transport.Driver, specs []transport.StreamSpec) error {
	for _, sp := range specs {
		for _, g := range sp.Groups {
			if _, err := d.Lag(ctx, sp.Stream, g); err == nil {
				continue
			}
			if err := d.Ensure(ctx, []transport.StreamSpec{sp}); err != nil {
				return err
			}
			c, err := d.Join(ctx, transport.Subscription{Group: g})
			if err != nil {
				return err
			}
			for {
				if l, err := d.Lag(ctx, sp.Stream, g); err != nil || l.Waiting == 0 {
					break
				}
				ds, err := c.Receive(ctx, 100, creditsFor(100, sp.Stream))
				if err != nil {
					return err
				}
				(&brokenConsumer{Consumer: c}).ackAll(ctx, ds)
			}
			if err := c.Close(ctx); err != nil {
				return err
			}
		}
	}
	return d.Ensure(ctx, specs)
}

// retriesPublishes is what a client library does that repeats a command whose answer was lost: now and then an answer is lost
// here, and the message had been stored.
func retriesPublishes(ctx context.Context, d transport.Driver, msgs []transport.Message, results []transport.Result) {
	d.Publish(ctx, msgs, results)
	if len(msgs) > 0 && strings.HasSuffix(string(msgs[0].Body), "50") {
		d.Publish(ctx, msgs, results)
	}
}

// keepsBodies sends what it was given when somebody next receives: the caller may have used its slices again by then.
func keepsBodies(d *broken) {
	var later []transport.Message // the scenario publishes and receives in one goroutine
	d.publish = func(_ context.Context, _ transport.Driver, msgs []transport.Message, results []transport.Result) {
		later = append(later, msgs...)
		for i := range results {
			results[i] = transport.Result{Outcome: transport.OutcomeAccepted}
		}
	}
	d.receive = func(ctx context.Context, c *brokenConsumer, limit int, credits []transport.Credit) ([]transport.Delivery, error) {
		c.d.Driver.Publish(ctx, later, make([]transport.Result, len(later)))
		later = nil
		return c.Consumer.Receive(ctx, limit, credits)
	}
}

func claimsAccepted(ctx context.Context, d transport.Driver, msgs []transport.Message, results []transport.Result) {
	d.Publish(ctx, msgs, results)
	for i := range results {
		results[i] = transport.Result{Outcome: transport.OutcomeAccepted}
	}
}

// claimsLate tells of every late message that it was accepted.
func claimsLate(d *broken, m *transport.Message, to transport.Late) bool {
	d.Publish(context.Background(), []transport.Message{*m}, make([]transport.Result, 1))
	d.tell(to, transport.Result{Outcome: transport.OutcomeAccepted})
	return true
}

// tellsTwice tells a late rejection when it comes, and again when the message's batch ends.
func tellsTwice(d *broken, m *transport.Message, to transport.Late) bool {
	r := make([]transport.Result, 1)
	d.Publish(context.Background(), []transport.Message{*m}, r)
	d.tell(to, r[0])
	if r[0].Outcome == transport.OutcomeRejected {
		d.tell(to, r[0])
	}
	return true
}

// keepsLate sends what it was given once its caller has gone on.
func keepsLate(d *broken, m *transport.Message, to transport.Late) bool {
	late := *m
	d.telling.Go(func() {
		time.Sleep(time.Millisecond)
		r := make([]transport.Result, 1)
		d.Publish(context.Background(), []transport.Message{late}, r)
		to.Told(r[0])
	})
	return true
}

// acksLate acks at once what it settles late.
func acksLate(c *brokenConsumer, s *transport.Settlement, to transport.Late) bool {
	r := make([]transport.Result, 1)
	c.d.Publish(context.Background(), []transport.Message{*s.Reply}, r)
	c.ackAll(context.Background(), []transport.Delivery{*s.Delivery})
	c.d.tell(to, r[0])
	return true
}

// needsNoAcks calls a message accepted when it is on its way, and forgets what is on its way when it is closed.
func needsNoAcks(d *broken) {
	ctx, cancel := context.WithCancel(context.Background())
	var sends sync.WaitGroup
	d.closing = func() { cancel(); sends.Wait() }
	d.publish = func(_ context.Context, inner transport.Driver, msgs []transport.Message, results []transport.Result) {
		batch := make([]transport.Message, len(msgs))
		for i, m := range msgs {
			m.Body = slices.Clone(m.Body)
			batch[i], results[i] = m, transport.Result{Outcome: transport.OutcomeAccepted}
		}
		sends.Go(func() {
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
				inner.Publish(ctx, batch, make([]transport.Result, len(batch)))
			}
		})
	}
}

// maxLen is what trimsToLength keeps.
const maxLen = 100

// trimsToLength cuts streams to a length, as XADD MAXLEN does, whoever has not read what it cuts.
func trimsToLength(ctx context.Context, d transport.Driver, msgs []transport.Message, results []transport.Result) {
	d.Publish(ctx, msgs, results)
	b := d.(transport.Browser)
	for _, m := range msgs {
		if m.Lane {
			continue
		}
		all, err := b.Browse(ctx, m.Stream, "", 10*maxLen)
		if err != nil || len(all) <= maxLen {
			continue
		}
		var ids []string
		for _, x := range all[:len(all)-maxLen] {
			ids = append(ids, x.ID)
		}
		_, _ = b.Remove(ctx, m.Stream, ids)
	}
}

// neverClaims leaves what another consumer has left.
func neverClaims(ctx context.Context, c *brokenConsumer, limit int, credits []transport.Credit) ([]transport.Delivery, error) {
	for {
		ds, err := c.Consumer.Receive(ctx, limit, credits)
		if ds = slices.DeleteFunc(ds, func(x transport.Delivery) bool { return x.Attempt > 1 }); err != nil || len(ds) > 0 {
			return ds, err
		}
	}
}

// unsupervised is a consumer that dies with its stream, without a word, and that nobody starts again.
func unsupervised(ctx context.Context, c *brokenConsumer, limit int, credits []transport.Credit) ([]transport.Delivery, error) {
	for {
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		ds, err := c.Consumer.Receive(short, limit, credits)
		cancel()
		if c.d.dead() {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		if err == nil || ctx.Err() != nil || short.Err() == nil {
			return ds, err
		}
	}
}

// crossing mixes up lanes: it sends to the one that was opened next.
type crossing struct {
	mu   sync.Mutex
	next map[string]string // by address
	last string
}

func (x *crossing) tail(ctx context.Context, d *broken, spec transport.TailSpec) (transport.Tailer, error) {
	t, err := d.Driver.Tail(ctx, spec)
	if err == nil && !spec.Shared {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.next[x.last], x.last = t.Address(), t.Address()
	}
	return t, err
}

func (x *crossing) publish(ctx context.Context, d transport.Driver, msgs []transport.Message, results []transport.Result) {
	batch := slices.Clone(msgs)
	x.mu.Lock()
	for i, m := range batch {
		if to := x.next[m.Stream]; m.Lane && to != "" {
			batch[i].Stream = to
		}
	}
	x.mu.Unlock()
	d.Publish(ctx, batch, results)
}

// trustsAddresses sends a reply wherever it is told to, lane or not.
func trustsAddresses(ctx context.Context, d transport.Driver, msgs []transport.Message, results []transport.Result) {
	d.Publish(ctx, msgs, results)
	for i, m := range msgs {
		if m.Lane && transport.IsCode(results[i].Err, transport.CodeInvalid) {
			m.Lane = false
			d.Publish(ctx, []transport.Message{m}, results[i:i+1])
		}
	}
}

// makesStreams makes a stream that is not there when something is published to it.
func makesStreams(ctx context.Context, d transport.Driver, msgs []transport.Message, results []transport.Result) {
	d.Publish(ctx, msgs, results)
	for i, m := range msgs {
		if !m.Lane && transport.IsCode(results[i].Err, transport.CodeNotFound) && d.Ensure(ctx, []transport.StreamSpec{{Stream: m.Stream}}) == nil {
			d.Publish(ctx, msgs[i:i+1], results[i:i+1])
		}
	}
}

// shuffles sends a batch from its end.
func shuffles(ctx context.Context, d transport.Driver, msgs []transport.Message, results []transport.Result) {
	batch := slices.Clone(msgs)
	slices.Reverse(batch)
	d.Publish(ctx, batch, results)
	slices.Reverse(results)
}

// unbounded does not tell the broker of a limit.
func unbounded(ctx context.Context, d transport.Driver, specs []transport.StreamSpec) error {
	specs = slices.Clone(specs)
	for i := range specs {
		specs[i].MaxBacklog = 0
	}
	return d.Ensure(ctx, specs)
}

// forgetsAttempts calls each delivery the first.
func forgetsAttempts(ctx context.Context, c *brokenConsumer, limit int, credits []transport.Credit) ([]transport.Delivery, error) {
	ds, err := c.Consumer.Receive(ctx, limit, credits)
	for i := range ds {
		ds[i].Attempt = 1
	}
	return ds, err
}

// losesReplies acks, and says that the reply went out.
func losesReplies(ctx context.Context, c *brokenConsumer, batch []transport.Settlement, errs []error) {
	bare := slices.Clone(batch)
	for i := range bare {
		bare[i].Reply = nil
	}
	c.Consumer.Settle(ctx, bare, errs)
}
