package rpc

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamerson/streamerson/transport"
)

const (
	// presenceEvery is how often the live workers of the streams in use are counted.
	presenceEvery = 200 * time.Millisecond
	// presenceIdle is how long after its last call a stream is still looked at.
	presenceIdle = 10 * time.Second
	// presenceAsk bounds one count: a broker that doesn't answer is the publisher's business.
	presenceAsk = time.Second
)

// presence knows which streams have live workers, by sampling, so that a call to a dead stream fails at once and a call to a
// live one pays only a map look-up.
type presence struct {
	d     transport.Driver
	group string
	wait  time.Duration

	streams sync.Map // string → *served
	kick    chan struct{}
}

type served struct {
	live atomic.Bool  // the last sample found a worker, or could not tell
	used atomic.Int64 // Unix seconds of the last call

	mu      sync.Mutex
	known   bool
	since   time.Time     // when live became false
	changed chan struct{} // closed at the next change
}

func newPresence(d transport.Driver, group string, wait time.Duration) *presence {
	return &presence{d: d, group: group, wait: wait, kick: make(chan struct{}, 1)}
}

func (p *presence) get(stream string, now time.Time) *served {
	v, ok := p.streams.Load(stream)
	if !ok {
		v, ok = p.streams.LoadOrStore(stream, &served{changed: make(chan struct{})})
	}
	s := v.(*served)
	if u := now.Unix(); s.used.Load() != u {
		s.used.Store(u)
	}
	if !ok {
		select {
		case p.kick <- struct{}{}:
		default:
		}
	}
	return s
}

// check returns nil when a worker serves the stream or nobody can tell, after waiting for one as long as it is worth it.
func (p *presence) check(ctx context.Context, stream string, now, deadline time.Time) (waited bool, err *Error) {
	if p.wait < 0 {
		return false, nil
	}
	s := p.get(stream, now)
	if s.live.Load() {
		return false, nil
	}
	t := time.NewTimer(min(p.wait, deadline.Sub(now)))
	defer t.Stop()
	for {
		s.mu.Lock()
		live, known, since, changed := s.live.Load(), s.known, s.since, s.changed
		s.mu.Unlock()
		if live {
			return true, nil
		}
		if known && time.Since(since) >= p.wait {
			return true, noWorker(stream)
		}
		select {
		case <-changed:
		case <-t.C:
			if !known { // the broker does not answer: let the publish find out
				return true, nil
			}
			return true, noWorker(stream)
		case <-ctx.Done():
			return true, endOf(ctx.Err(), transport.OutcomeRejected)
		}
	}
}

func noWorker(stream string) *Error {
	return &Error{Code: CodeUnavailable, Message: "no live worker serves stream " + stream, Published: transport.OutcomeRejected, RetryAfter: time.Second}
}

// run samples until ctx ends.
func (p *presence) run(ctx context.Context) {
	t := time.NewTicker(presenceEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.kick:
		case <-t.C:
		}
		idle := time.Now().Add(-presenceIdle).Unix()
		p.streams.Range(func(k, v any) bool {
			s := v.(*served)
			if s.used.Load() < idle {
				p.streams.Delete(k)
				return true
			}
			p.sample(ctx, k.(string), s)
			return ctx.Err() == nil
		})
	}
}

func (p *presence) sample(ctx context.Context, stream string, s *served) {
	ask, cancel := context.WithTimeout(ctx, presenceAsk)
	lag, err := p.d.Lag(ask, stream, p.group)
	cancel()
	live := err == nil && lag.Consumers != 0
	if err != nil && !transport.IsCode(err, transport.CodeNotFound) {
		live = true // can't tell: the publish will
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known && s.live.Load() == live {
		return
	}
	s.known = true
	s.live.Store(live)
	if !live {
		s.since = time.Now()
	}
	close(s.changed)
	s.changed = make(chan struct{})
}
