package history

import (
	"context"
	"sync"

	"github.com/streamerson/streamerson/transport"
)

// Driver records what goes through d: what is published and the outcome, what is delivered, how it is settled, what comes
// through private lanes. It has what d has, and is a transport.Browser where d is one.
func (r *Recorder) Driver(d transport.Driver) transport.Driver {
	w := &driver{Driver: d, r: r, refused: map[string]bool{}}
	if b, ok := d.(transport.Browser); ok {
		return browsing{w, b}
	}
	return w
}

type driver struct {
	transport.Driver
	r *Recorder

	mu      sync.Mutex
	refused map[string]bool // ids of those that PublishLate left to Publish: their intents are recorded
}

type browsing struct {
	*driver
	transport.Browser
}

func code(err error) string {
	if err == nil {
		return ""
	}
	return transport.CodeOf(err).String()
}

// recorded leaves out what only hints: cancellations on shared lanes.
func recorded(what string) bool { return what != "cancel" }

func (d *driver) Publish(ctx context.Context, msgs []transport.Message, results []transport.Result) {
	// Bodies may be used again once Publish returns, so ids are taken before.
	events, of := make([]Event, 0, len(msgs)), make([]int, 0, len(msgs))
	for i := range msgs {
		m := &msgs[i]
		pieces(m.Body, func(what, id string) {
			if !recorded(what) {
				return
			}
			e := Event{Kind: Intent, What: what, ID: id, Stream: m.Stream, Lane: m.Lane, Key: m.Key}
			if !d.begun(id) {
				d.r.add(e)
			}
			events, of = append(events, e), append(of, i)
		})
	}
	d.Driver.Publish(ctx, msgs, results)
	for i, e := range events {
		r := &results[of[i]]
		e.Kind, e.Outcome, e.Code = Published, r.Outcome.String(), code(r.Err)
		d.r.add(e)
	}
}

// begun reports, once, whether the intent to publish id was recorded by a PublishLate that left it to Publish.
func (d *driver) begun(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.refused[id]
	delete(d.refused, id)
	return was
}

// lateEvents records events with the outcome that they share, and passes that on.
type lateEvents struct {
	r      *Recorder
	events []Event
	told   func(*Event, transport.Result)
	to     transport.Late
}

func (l *lateEvents) Told(r transport.Result) {
	for _, e := range l.events {
		l.told(&e, r)
		l.r.add(e)
	}
	l.to.Told(r)
}

// PublishLate implements transport.LatePublisher, by a false where d does not.
func (d *driver) PublishLate(m *transport.Message, to transport.Late) bool {
	p, ok := d.Driver.(transport.LatePublisher)
	if !ok {
		return false
	}
	var events []Event
	pieces(m.Body, func(what, id string) {
		if recorded(what) {
			e := Event{Kind: Intent, What: what, ID: id, Stream: m.Stream, Lane: m.Lane, Key: m.Key}
			d.r.add(e)
			e.Kind = Published
			events = append(events, e)
		}
	})
	told := func(e *Event, r transport.Result) { e.Outcome, e.Code = r.Outcome.String(), code(r.Err) }
	if p.PublishLate(m, &lateEvents{d.r, events, told, to}) {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range events {
		d.refused[e.ID] = true
	}
	return false
}

func (d *driver) Join(ctx context.Context, sub transport.Subscription) (transport.Consumer, error) {
	c, err := d.Driver.Join(ctx, sub)
	if err != nil {
		return nil, err
	}
	return &consumer{c, d.r, sub.Group}, nil
}

func (d *driver) Tail(ctx context.Context, spec transport.TailSpec) (transport.Tailer, error) {
	t, err := d.Driver.Tail(ctx, spec)
	if err != nil || spec.Shared {
		return t, err
	}
	return &tailer{t, d.r}, nil
}

func (d *driver) Close(ctx context.Context) error {
	err := d.Driver.Close(ctx)
	d.r.add(Event{Kind: Closed, Code: code(err)})
	return err
}

type consumer struct {
	transport.Consumer
	r     *Recorder
	group string
}

// events calls f with what happened to each message that x holds.
func (c *consumer) events(k Kind, x *transport.Delivery, f func(Event)) {
	pieces(x.Body, func(what, id string) {
		f(Event{Kind: k, What: what, ID: id, Stream: x.Stream, Group: c.group, Entry: x.ID, Attempt: x.Attempt})
	})
}

func (c *consumer) Receive(ctx context.Context, max int, credits []transport.Credit) ([]transport.Delivery, error) {
	ds, err := c.Consumer.Receive(ctx, max, credits)
	for i := range ds {
		c.events(Delivered, &ds[i], c.r.add)
	}
	return ds, err
}

func verb(v transport.Verb) string {
	switch v {
	case transport.Ack:
		return "ack"
	case transport.Release:
		return "release"
	case transport.Extend:
		return "extend"
	default:
		return "unknown"
	}
}

// SettleLate implements transport.LateSettler, by a false where c does not.
func (c *consumer) SettleLate(s *transport.Settlement, to transport.Late) bool {
	l, ok := c.Consumer.(transport.LateSettler)
	if !ok || s.Reply == nil {
		return false
	}
	reply := ""
	pieces(s.Reply.Body, func(what, id string) {
		reply = what
		c.r.add(Event{Kind: Intent, What: what, ID: id, Stream: s.Reply.Stream, Lane: s.Reply.Lane, Key: s.Reply.Key})
	})
	var events []Event
	c.events(Settled, s.Delivery, func(e Event) {
		e.Verb, e.What = verb(s.Verb), reply
		events = append(events, e)
	})
	told := func(e *Event, r transport.Result) { e.Code = code(r.Err) }
	return l.SettleLate(s, &lateEvents{c.r, events, told, to})
}

func (c *consumer) Settle(ctx context.Context, batch []transport.Settlement, errs []error) {
	events, of := make([]Event, 0, len(batch)), make([]int, 0, len(batch))
	for i, s := range batch {
		reply := ""
		shared := i > 0 && s.Reply == batch[i-1].Reply
		if s.Reply != nil {
			pieces(s.Reply.Body, func(what, id string) {
				if reply = what; !shared {
					c.r.add(Event{Kind: Intent, What: what, ID: id, Stream: s.Reply.Stream, Lane: s.Reply.Lane, Key: s.Reply.Key})
				}
			})
		}
		c.events(Settled, s.Delivery, func(e Event) {
			e.Verb, e.What = verb(s.Verb), reply
			events, of = append(events, e), append(of, i)
		})
	}
	c.Consumer.Settle(ctx, batch, errs)
	for i, e := range events {
		err := errs[of[i]]
		if e.Verb == "extend" && err == nil {
			continue // a running handler has three a lease
		}
		e.Code = code(err)
		c.r.add(e)
	}
}

type tailer struct {
	transport.Tailer
	r *Recorder
}

func (t *tailer) Receive(ctx context.Context, max int) ([][]byte, error) {
	bodies, err := t.Tailer.Receive(ctx, max)
	for _, b := range bodies {
		pieces(b, func(what, id string) {
			t.r.add(Event{Kind: Arrived, What: what, ID: id, Stream: t.Address(), Lane: true})
		})
	}
	return bodies, err
}
