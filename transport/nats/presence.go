package nats

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
)

// Live consumers are counted by asking: whoever serves a stream for a group is subscribed to one subject, and answers with
// its consumer's id. Nothing is stored and nothing is sent while nobody asks; that nobody serves is known in one round trip.
const (
	// liveFor is how long a consumer counts after its last answer.
	liveFor = 1500 * time.Millisecond
	// firstGather is how long further answers are waited for where nothing is known of the group; gather how long for those
	// that answered before and don't now; noAnswer how long for a first answer from a group that has subscribers.
	firstGather = 30 * time.Millisecond
	gather      = 25 * time.Millisecond
	noAnswer    = 150 * time.Millisecond
	// unsureFor is how long nothing is concluded from the silence of a group that has subscribers: a loaded worker may be
	// late, and a stopped one stays subscribed until the server finds out.
	unsureFor = 3 * time.Second
	// askBuffer is how many questions may wait; what is beyond is dropped, and asked again.
	askBuffer = 1024
)

type presence struct {
	nc     *natsgo.Conn
	prefix string // with its last dot
	asks   chan *natsgo.Msg
	sub    *natsgo.Subscription
	done   chan struct{}
	wg     sync.WaitGroup

	mu     sync.Mutex
	serves map[*natsgo.Subscription]string // → the consumer's id
	groups map[string]*groupLife           // by subject
	byKey  map[uint64]*groupLife
}

// groupLife is what was heard from one group's members on one stream.
type groupLife struct {
	key  uint64
	seen map[string]time.Time
	// fresh are the members that answered the latest question, and none whether the server said that there are none.
	ask     uint64
	fresh   map[string]bool
	none    bool
	silent  time.Time     // since when it has subscribers and none of them answers; zero if not
	changed chan struct{} // holds one signal
}

func (d *Driver) openPresence() error {
	p := &d.presence
	p.nc, p.prefix = d.nc, d.set.inboxPrefix+"."+d.instance+"-live."
	p.asks, p.done = make(chan *natsgo.Msg, askBuffer), make(chan struct{})
	p.serves, p.groups, p.byKey = map[*natsgo.Subscription]string{}, map[string]*groupLife{}, map[uint64]*groupLife{}
	var err error
	if p.sub, err = d.nc.Subscribe(p.prefix+"*.*", p.heard); err != nil {
		return err
	}
	p.wg.Go(p.answer)
	return nil
}

// answer tells who asks that a consumer lives.
func (p *presence) answer() {
	for {
		select {
		case <-p.done:
			return
		case m := <-p.asks:
			p.mu.Lock()
			id := p.serves[m.Sub]
			p.mu.Unlock()
			if id != "" && m.Reply != "" {
				_ = p.nc.Publish(m.Reply, []byte(id)) // a lost answer is asked for again
			}
		}
	}
}

// serve makes a consumer count as live, until leave.
func (p *presence) serve(stream, group, id string) (*natsgo.Subscription, error) {
	sub, err := p.nc.ChanSubscribe(liveSubject(stream, group), p.asks)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serves[sub] = id
	return sub, nil
}

func (p *presence) leave(sub *natsgo.Subscription) {
	p.mu.Lock()
	delete(p.serves, sub)
	p.mu.Unlock()
	_ = sub.Unsubscribe() // fails only when the connection is closed
}

func (p *presence) close() {
	close(p.done)
	p.wg.Wait()
}

func (p *presence) heard(m *natsgo.Msg) {
	k, a, _ := strings.Cut(strings.TrimPrefix(m.Subject, p.prefix), ".")
	key, err := strconv.ParseUint(k, 36, 64)
	ask, err2 := strconv.ParseUint(a, 36, 64)
	if err != nil || err2 != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.byKey[key]
	if g == nil {
		return
	}
	if noResponders(m) {
		if ask == g.ask {
			g.none = true
			clear(g.seen)
		}
	} else {
		g.seen[string(m.Data)] = time.Now()
		if ask == g.ask {
			g.fresh[string(m.Data)] = true
		}
	}
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

// count asks who serves stream for group, and returns how many do; −1 when there are some, but none has answered so far. any: the
// first answer is enough, and how many they are is not waited for.
func (p *presence) count(ctx context.Context, stream, group string, any bool) int {
	subject := liveSubject(stream, group)
	p.mu.Lock()
	g := p.groups[subject]
	if g == nil {
		g = &groupLife{key: uint64(len(p.groups)), seen: map[string]time.Time{}, changed: make(chan struct{}, 1)}
		p.groups[subject], p.byKey[g.key] = g, g
	}
	g.ask++
	g.none, g.fresh = false, map[string]bool{}
	first := true
	for _, at := range g.seen {
		first = first && time.Since(at) >= liveFor
	}
	reply := p.prefix + strconv.FormatUint(g.key, 36) + "." + strconv.FormatUint(g.ask, 36)
	p.mu.Unlock()
	if err := p.nc.PublishRequest(subject, reply, nil); err != nil {
		return 0
	}
	t := time.NewTimer(noAnswer)
	defer t.Stop()
	answered := false
	for {
		select {
		case <-g.changed:
		case <-t.C:
			return p.living(g)
		case <-ctx.Done():
			return p.living(g)
		}
		p.mu.Lock()
		none, fresh := g.none, len(g.fresh)
		known := 0
		for id, at := range g.seen {
			if time.Since(at) < liveFor && !g.fresh[id] {
				known++
			}
		}
		p.mu.Unlock()
		if none || fresh > 0 && (any || known == 0 && !first) {
			return p.living(g)
		}
		if fresh > 0 && !answered {
			answered = true
			if first {
				t.Reset(firstGather)
			} else {
				t.Reset(gather)
			}
		}
	}
}

func (p *presence) living(g *groupLife) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for id, at := range g.seen {
		if time.Since(at) < liveFor {
			n++
		} else {
			delete(g.seen, id)
		}
	}
	if n > 0 || g.none {
		g.silent = time.Time{}
		return n
	}
	if g.silent.IsZero() {
		g.silent = time.Now()
	}
	if time.Since(g.silent) < unsureFor {
		return -1
	}
	return 0
}
