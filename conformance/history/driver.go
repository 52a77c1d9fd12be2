package history

import (
	"context"

	"github.com/streamerson/streamerson/transport"
)

// Driver records what goes through d: what is published and the outcome, what is delivered, how it is settled, what comes
// through private lanes. It has what d has, and is a transport.Browser where d is one.
func (r *Recorder) Driver(d transport.Driver) transport.Driver {
	w := &driver{Driver: d, r: r}
	if b, ok := d.(transport.Browser); ok {
		return browsing{w, b}
	}
	return w
}

type driver struct {
	transport.Driver
	r *Recorder
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

func message(k Kind, m *transport.Message) Event {
	what, id := identify(m.Body)
	return Event{Kind: k, What: what, ID: id, Stream: m.Stream, Lane: m.Lane, Key: m.Key}
}

func (d *driver) Publish(ctx context.Context, msgs []transport.Message, results []transport.Result) {
	events := make([]Event, len(msgs)) // bodies may be used again once Publish returns, so ids are taken before
	for i := range msgs {
		if events[i] = message(Intent, &msgs[i]); recorded(events[i].What) {
			d.r.add(events[i])
		}
	}
	d.Driver.Publish(ctx, msgs, results)
	for i, e := range events {
		if e.Kind, e.Outcome, e.Code = Published, results[i].Outcome.String(), code(results[i].Err); recorded(e.What) {
			d.r.add(e)
		}
	}
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

func (c *consumer) event(k Kind, x *transport.Delivery) Event {
	what, id := identify(x.Body)
	return Event{Kind: k, What: what, ID: id, Stream: x.Stream, Group: c.group, Entry: x.ID, Attempt: x.Attempt}
}

func (c *consumer) Receive(ctx context.Context, max int, credits []transport.Credit) ([]transport.Delivery, error) {
	ds, err := c.Consumer.Receive(ctx, max, credits)
	for i := range ds {
		c.r.add(c.event(Delivered, &ds[i]))
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

func (c *consumer) Settle(ctx context.Context, batch []transport.Settlement, errs []error) {
	events := make([]Event, len(batch))
	for i, s := range batch {
		events[i] = c.event(Settled, s.Delivery)
		events[i].Verb, events[i].What = verb(s.Verb), ""
		if s.Reply == nil {
			continue
		}
		shared := i > 0 && s.Reply == batch[i-1].Reply
		pieces(s.Reply.Body, func(what, id string) {
			if events[i].What = what; !shared {
				c.r.add(Event{Kind: Intent, What: what, ID: id, Stream: s.Reply.Stream, Lane: s.Reply.Lane, Key: s.Reply.Key})
			}
		})
	}
	c.Consumer.Settle(ctx, batch, errs)
	for i, e := range events {
		if e.Verb == "extend" && errs[i] == nil {
			continue // a running handler has three a lease
		}
		e.Code = code(errs[i])
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
