package conformance

import (
	"context"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
)

// skew is how wrong the clocks are.
const skew = 5 * time.Minute

// Rule: where BrokerTime is claimed, a client or a worker whose clock is 5 minutes ahead or behind changes nothing: calls are
// answered, and a call that waited in the stream for longer than its deadline is not run. Where it isn't claimed, only 5 s are
// promised: with a client or worker that is 4 s off calls are answered.
func clockSkew(s *system) {
	by := skew
	if !s.caps.BrokerTime {
		by = 4 * time.Second
		s.refused("BrokerTime isn't claimed: clocks may differ by 5 s, not by minutes")
	}
	for _, off := range []time.Duration{by, -by} {
		for _, who := range []struct{ client, worker time.Duration }{{off, 0}, {0, off}} {
			s.skewed(who.client, who.worker)
		}
	}
}

func (s *system) skewed(client, worker time.Duration) {
	s.Helper()
	what := "client " + client.String() + " ahead, worker " + worker.String()
	d, r := s.record("local"+itoa(s.number()), &offClock{s.open(), worker})
	w := s.localOn(d, r, func(cfg *childConfig) { cfg.Worker.Slots = 1 })
	cd, cr := s.record("client"+itoa(s.number()), &offClock{s.open(), client})
	c, _ := s.clientOn(cd, func(cfg *rpc.ClientConfig) { cr.Client(cfg) })
	s.backWithin(c, comeBack)
	name := itoa(s.number())
	for i := range 5 {
		if got := s.call(c, s.request(fnEffect, name+"."+itoa(i), patience/2)); got.err != nil {
			s.Errorf("%s: call %d: %v", what, i, got.err)
		}
	}
	if s.caps.BrokerTime { // the one slot is taken for longer than the second call waits
		busy := s.later(c, s.request(fnEffect, name+".busy "+s.millis(patience/5*3/2), 2*patience))
		s.until(patience, "the slot to be taken", func() bool { return s.ledger.beganTimes(name+".busy") == 1 })
		late := s.call(c, s.request(fnEffect, name+".late", patience/10))
		if rpc.CodeOf(late.err) != rpc.CodeDeadlineExceeded {
			s.Errorf("%s: a call in a queue: %v, want deadline exceeded", what, late.err)
		}
		if got := s.within(2*patience, busy); got.err != nil {
			s.Errorf("%s: the call before it: %v", what, got.err)
		}
		s.drained()
		if s.ledger.beganTimes(name+".late") > 0 {
			s.Errorf("%s: a call ran whose deadline had passed in the queue", what)
		}
	}
	w.end()
}

// offClock stands for a machine whose clock is off. The only thing that tells another machine what time it is here is the
// deadline in a frame: what this machine publishes bears one that is later by as much as its clock is ahead; and to this
// machine what others publish seems to bear one that is as much earlier. (A driver reckons ages by the broker's clock and the
// monotonic one, which nobody sets.)
type offClock struct {
	transport.Driver
	ahead time.Duration
}

func moved(body []byte, by time.Duration) []byte {
	var env wire.Envelope
	if by == 0 || wire.Decode(&env, body) != nil || env.Deadline == 0 {
		return body
	}
	env.Deadline += by.Milliseconds()
	return wire.Append(nil, &env)
}

func (d *offClock) Publish(ctx context.Context, msgs []transport.Message, results []transport.Result) {
	for i := range msgs {
		msgs[i].Body = moved(msgs[i].Body, d.ahead)
	}
	d.Driver.Publish(ctx, msgs, results)
}

func (d *offClock) Join(ctx context.Context, sub transport.Subscription) (transport.Consumer, error) {
	c, err := d.Driver.Join(ctx, sub)
	if err != nil {
		return nil, err
	}
	return &offClockConsumer{c, d.ahead}, nil
}

type offClockConsumer struct {
	transport.Consumer
	ahead time.Duration
}

func (c *offClockConsumer) Receive(ctx context.Context, max int, credits []transport.Credit) ([]transport.Delivery, error) {
	ds, err := c.Consumer.Receive(ctx, max, credits)
	for i := range ds {
		ds[i].Body = moved(ds[i].Body, -c.ahead)
	}
	return ds, err
}
