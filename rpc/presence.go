package rpc

import (
	"context"
	"strings"
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
	// presenceAtOnce bounds the counts that are under way at the same time, of streams in use and, apart from them, of new ones: a
	// count of a broker that has to wait for its members' answers takes its time.
	presenceAtOnce = 32
	// presenceFresh is how old a count may be to refuse a call by: a worker that has just come must not be overlooked.
	presenceFresh = 20 * time.Millisecond
	// presenceHeard is how much later than the last that is known an answered call must have begun to be noted.
	presenceHeard = presenceEvery / 8
)

// presence knows which streams have live workers, by sampling, so that a call to a dead stream fails at once and a call to a
// live one pays only a map look-up. A call that was answered is as good as a sample made when it began: while calls are, nobody asks.
type presence struct {
	d     transport.Driver
	many  transport.Presence // d, if it can tell of many streams at once
	group string
	wait  time.Duration

	streams sync.Map                     // string → *served
	fast    atomic.Pointer[servedStream] // one that is in use, spared the look-up: most clients call few streams
	kick    chan struct{}
	life    context.Context // ends with the client
	base    time.Time       // heard counts from here
	first   chan struct{}   // a token for each first count that is under way
}

type servedStream struct {
	name string
	*served
}

type served struct {
	gone atomic.Bool  // not sampled any more
	live atomic.Bool  // the last sample found a worker, or could not tell
	used atomic.Int64 // Unix seconds of the last call
	// heard is when the last call that was answered began, about: some worker has received since.
	heard atomic.Int64

	mu      sync.Mutex
	known   bool
	since   time.Time     // when live became false
	asked   time.Time     // when it was counted last
	counted chan struct{} // closed at the next count
}

func newPresence(life context.Context, d transport.Driver, group string, wait time.Duration) *presence {
	p := &presence{d: d, group: group, wait: wait, kick: make(chan struct{}, 1), life: life, base: time.Now(), first: make(chan struct{}, presenceAtOnce)}
	p.many, _ = d.(transport.Presence)
	return p
}

func (p *presence) get(stream string, now time.Time) *served {
	if f := p.fast.Load(); f != nil && f.name == stream {
		f.use(now)
		return f.served
	}
	v, ok := p.streams.Load(stream)
	if !ok {
		v, ok = p.streams.LoadOrStore(stream, &served{counted: make(chan struct{})})
	}
	s := v.(*served)
	s.use(now)
	if !ok {
		go p.begin(strings.Clone(stream), s) // its first caller waits for it: not for the others' counts as well
	}
	if f := p.fast.Load(); f == nil {
		p.fast.Store(&servedStream{strings.Clone(stream), s})
		if s.gone.Load() { // leave was here before the store
			p.fast.Store(nil)
		}
	}
	return s
}

// begin counts a stream for the first time.
func (p *presence) begin(stream string, s *served) {
	select {
	case p.first <- struct{}{}:
		p.sample(p.life, []string{stream}, []*served{s})
		<-p.first
	case <-p.life.Done():
	}
}

// leave ends the sampling of a stream that nobody calls.
func (p *presence) leave(stream string, s *served) {
	s.gone.Store(true)
	p.streams.Delete(stream)
	if f := p.fast.Load(); f != nil && f.served == s {
		p.fast.Store(nil)
	}
}

func (s *served) use(now time.Time) {
	if u := now.Unix(); s.used.Load() != u {
		s.used.Store(u)
	}
}

// answered notes that a call which began at start was answered. s may be nil: nobody samples.
func (p *presence) answered(s *served, start time.Time) {
	if s == nil {
		return
	}
	if at := int64(start.Sub(p.base)); at-s.heard.Load() > int64(presenceHeard) {
		s.heard.Store(at) // of two at once either will do
	}
}

// now has the sampler count at once.
func (p *presence) now() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// check returns no error when a worker serves the stream or nobody can tell, after waiting for one as long as it is worth it. What it
// returns besides is for answered.
func (p *presence) check(ctx context.Context, stream string, now, deadline time.Time) (s *served, waited bool, err *Error) {
	if p.wait < 0 {
		return nil, false, nil
	}
	s = p.get(stream, now)
	if s.live.Load() {
		return s, false, nil
	}
	return s, true, p.await(ctx, stream, s, now, deadline)
}

func (p *presence) await(ctx context.Context, stream string, s *served, now, deadline time.Time) *Error {
	t := time.NewTimer(min(p.wait, deadline.Sub(now)))
	defer t.Stop()
	again := false
	after := now // a count that began later than this is fresh as well, however late it is seen
	for {
		s.mu.Lock()
		live, known, since, asked, counted := s.live.Load(), s.known, s.since, s.asked, s.counted
		s.mu.Unlock()
		if live {
			return nil
		}
		if known && time.Since(since) >= p.wait {
			if asked.After(after) || time.Since(asked) <= presenceFresh {
				return noWorker(stream)
			}
			p.now()
		}
		select {
		case <-counted:
		case <-t.C:
			if !known { // the broker does not answer: let the publish find out
				return nil
			}
			if again { // and no count has come since
				return noWorker(stream)
			}
			again, after = true, time.Now() // on a busy machine the last count may be older than the worker that has come meanwhile
			p.now()
			t.Reset(min(p.wait/3, deadline.Sub(after))) // with the default, refused within a second
		case <-ctx.Done():
			return endOf(ctx.Err(), transport.OutcomeRejected)
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
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-p.kick:
			asked = true
			if !sleep(ctx, presenceFresh/4) { // many calls may ask
				return
			}
		case <-t.C:
		}
		p.sampleAll(ctx, asked)
	}
}

// sampleAll counts all streams in use of which nothing was heard, or, when it was asked for, those that seem to have no worker: only
// their callers wait.
func (p *presence) sampleAll(ctx context.Context, asked bool) {
	now := time.Now()
	idle, heard := now.Add(-presenceIdle).Unix(), int64(now.Add(-presenceEvery).Sub(p.base))
	var streams []string
	var states []*served
	p.streams.Range(func(k, v any) bool {
		stream, s := k.(string), v.(*served)
		switch live := s.live.Load(); {
		case s.used.Load() < idle:
			p.leave(stream, s)
		case live && (asked || s.heard.Load() >= heard):
		default:
			streams, states = append(streams, stream), append(states, s)
		}
		return true
	})
	if p.many != nil {
		p.sample(ctx, streams, states)
		return
	}
	var counts sync.WaitGroup
	at := make(chan struct{}, presenceAtOnce)
	for i := range streams {
		at <- struct{}{}
		counts.Go(func() {
			p.sample(ctx, streams[i:i+1], states[i:i+1])
			<-at
		})
	}
	counts.Wait()
}

// sample asks who serves streams, several only where the driver can tell.
func (p *presence) sample(ctx context.Context, streams []string, states []*served) {
	if len(streams) == 0 {
		return
	}
	start := time.Now()
	ask, cancel := context.WithTimeout(ctx, presenceAsk)
	defer cancel()
	live := make([]bool, len(streams))
	var err error
	if p.many != nil {
		err = p.many.Live(ask, streams, p.group, live)
	} else {
		var lag transport.Lag
		lag, err = p.d.Lag(ask, streams[0], p.group)
		live[0] = lag.Consumers != 0
	}
	for i, s := range states {
		// Can't tell: the publish will.
		s.sampled(start, err == nil && live[i] || err != nil && !transport.IsCode(err, transport.CodeNotFound))
	}
}

// sampled stores what a sample that began at start has found.
func (s *served) sampled(start time.Time, live bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known && start.Before(s.asked) { // a count that began later has ended sooner
		return
	}
	if !live && (!s.known || s.live.Load()) {
		s.since = start
	}
	s.known, s.asked = true, start
	s.live.Store(live)
	close(s.counted)
	s.counted = make(chan struct{})
}
