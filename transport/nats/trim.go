package nats

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/streamerson/streamerson/transport"
)

// A stream keeps what is settled (limits retention) until it is trimmed below what its groups have still to settle: by the workers
// that settle, and by whoever is refused because the stream is full. With interest retention the server removes each message as it
// is acked, which costs a seventh of a call, and a group that is deleted by hand takes what it waited for with it.

// Each worker process trims the streams that it has settled something on: what it costs the server is for the file of 8 MiB that is
// cut through, message by message, so it is rarer where there is much.
const (
	// trimEvery is how long a few settled messages stay, about.
	trimEvery = time.Second
	// few is how many these are; more than them stay trimBusy, or until they are trimBytes.
	few       = 1000
	trimBusy  = 5 * time.Second
	trimBytes = 64 << 20
	// maxGroups is how many groups of a stream are looked at; with more it is not trimmed. It is one page of the server's list.
	maxGroups = 256
	// roomEvery bounds how often a driver asks for the room on a full stream.
	roomEvery = 20 * time.Millisecond
	// lateLooks is how many more turns a stream is looked at that had a backlog when it was trimmed: an ack has no answer, so what
	// this process settled may not have been settled yet at the server.
	lateLooks = 5
)

// trims is what a driver trims by itself.
type trims struct {
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	streams map[string]*trimmed
}

// trimmed is one stream's state.
type trimmed struct {
	// settled and bytes count what this process has acked since the stream was trimmed last.
	settled, bytes atomic.Int64

	mu sync.Mutex // held while the stream is looked at or trimmed
	// looked is when room was asked for last, and room the answer.
	looked time.Time
	room   bool
	// trimmed is when the stream was trimmed last.
	trimmed time.Time
	// raised: the stream's bound is above the backlog that is wanted.
	raised bool
	// late is how many of lateLooks are left.
	late int
}

func (d *Driver) startTrims() {
	ctx, cancel := context.WithCancel(context.Background())
	d.trims.cancel, d.trims.done = cancel, make(chan struct{})
	d.trims.streams = map[string]*trimmed{}
	go func() {
		defer close(d.trims.done)
		for {
			select {
			case <-ctx.Done():
				return
			// The workers of a stream take turns by chance.
			case <-time.After(trimEvery/2 + rand.N(trimEvery)):
			}
			d.trimAll(ctx)
		}
	}()
}

func (t *trims) stop() {
	if t.cancel != nil {
		t.cancel()
		<-t.done
	}
}

func (t *trims) of(stream string) *trimmed {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.streams[stream]
	if s == nil {
		s = &trimmed{}
		t.streams[stream] = s
	}
	return s
}

func (d *Driver) trimAll(ctx context.Context) {
	d.trims.mu.Lock()
	due := map[string]*trimmed{}
	for name, s := range d.trims.streams {
		due[name] = s
	}
	d.trims.mu.Unlock()
	for name, s := range due {
		s.mu.Lock()
		if s.due(time.Now()) {
			s.trimmed = time.Now()
			n, bytes := s.settled.Swap(0), s.bytes.Swap(0)
			st, _, err := d.trim(ctx, name)
			if s.late--; n > 0 {
				s.late = lateLooks
			}
			if st.backlog == 0 {
				s.late = 0
			}
			if err == nil && s.raised {
				_, err = d.makeRoom(ctx, name, s, true)
			}
			if err != nil { // at the next turn, then
				s.settled.Add(n)
				s.bytes.Add(bytes)
			}
		}
		s.mu.Unlock()
	}
}

func (s *trimmed) due(now time.Time) bool {
	n := s.settled.Load()
	return s.raised || n == 0 && s.late > 0 || n > 0 && (n <= few || now.Sub(s.trimmed) >= trimBusy || s.bytes.Load() >= trimBytes)
}

// standing is what a stream's groups have still to do.
type standing struct {
	// floor is the last sequence up to which all groups have settled everything; 0 when it isn't known.
	floor uint64
	// backlog is the largest number of messages that a group has to settle.
	backlog int64
	floors  map[string]uint64 // by group's token
}

// consumerList is the server's answer, as far as it is used.
type consumerList struct {
	Error     *jetstream.APIError `json:"error"`
	Total     int                 `json:"total"`
	Missing   []string            `json:"missing"`
	Consumers []struct {
		Name     string `json:"name"`
		AckFloor struct {
			Stream uint64 `json:"stream_seq"`
		} `json:"ack_floor"`
		Pending    int64 `json:"num_pending"`
		AckPending int64 `json:"num_ack_pending"`
	} `json:"consumers"`
}

// api asks JetStream and decodes the answer into out.
func (d *Driver) api(ctx context.Context, subject string, request []byte, out any) error {
	ctx, cancel := context.WithTimeout(ctx, d.set.timeout)
	defer cancel()
	m, err := d.nc.RequestWithContext(ctx, "$JS.API."+subject, request)
	if err != nil {
		return err
	}
	return json.Unmarshal(m.Data, out)
}

// standing asks all groups of a stream where they are. The floor stays unknown when one doesn't answer, or when one that this
// driver ensured is missing: it is to be made again, and to find all that it had not settled.
func (d *Driver) standing(ctx context.Context, stream string) (standing, error) {
	var list consumerList
	if err := d.api(ctx, "CONSUMER.LIST."+jsStream(stream), nil, &list); err != nil {
		return standing{}, err
	}
	if list.Error != nil {
		return standing{}, list.Error
	}
	st := standing{floors: map[string]uint64{}}
	for i, c := range list.Consumers {
		st.floors[c.Name] = c.AckFloor.Stream
		st.backlog = max(st.backlog, c.Pending+c.AckPending)
		if i == 0 || c.AckFloor.Stream < st.floor {
			st.floor = c.AckFloor.Stream
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if mine := d.specs[stream]; mine != nil {
		for _, g := range mine.Groups {
			if _, ok := st.floors[token(g)]; !ok {
				st.floor = 0
			}
		}
	}
	if list.Total > maxGroups || len(list.Missing) > 0 {
		st.floor = 0
	}
	return st, nil
}

// trim removes what all groups have settled, up to the first message that one has not, and returns how many that were.
func (d *Driver) trim(ctx context.Context, stream string) (st standing, removed int64, err error) {
	st, err = d.standing(ctx, stream)
	if err != nil || st.floor == 0 {
		return st, 0, err
	}
	d.remark(stream, st.floors)
	var res struct {
		Error  *jetstream.APIError `json:"error"`
		Purged int64               `json:"purged"`
	}
	// Up to, and not including.
	if err = d.api(ctx, "STREAM.PURGE."+jsStream(stream), []byte(`{"seq":`+strconv.FormatUint(st.floor+1, 10)+`}`), &res); err != nil {
		return st, 0, err
	}
	if res.Error != nil {
		return st, 0, res.Error
	}
	if res.Purged > 0 {
		d.event(transport.Event{Kind: transport.EventTrimmed, Stream: stream, N: res.Purged})
	}
	return st, res.Purged, nil
}

// remark remembers how far the groups of this driver were: one that is deleted by hand begins again from there.
func (d *Driver) remark(stream string, floors map[string]uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	mine := d.specs[stream]
	if mine == nil {
		return
	}
	for _, g := range mine.Groups {
		if f := floors[token(g)]; f > mine.floors[g] {
			mine.floors[g] = f
		}
	}
}

// roomOn is asked when a stream has refused a message because there is no room: what is settled may still take it. It reports
// whether there is room now. byCount: the stream has as many messages as it may, rather than the server or its disk. Calls
// at once share one look.
func (d *Driver) roomOn(ctx context.Context, stream string, byCount bool) bool {
	s := d.trims.of(stream)
	asked := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.looked.After(asked) || asked.Sub(s.looked) < roomEvery && !s.room {
		return s.room
	}
	room, err := d.makeRoom(ctx, stream, s, byCount)
	s.room, s.looked = room && err == nil, time.Now()
	return s.room
}

// makeRoom trims the stream, and sets its bound so that what is settled, but can't be trimmed because something older is not, does
// not count: the backlog is what waits and what is being worked on. The caller holds s.mu.
func (d *Driver) makeRoom(ctx context.Context, stream string, s *trimmed, byCount bool) (bool, error) {
	st, removed, err := d.trim(ctx, stream)
	if err != nil || !byCount {
		return removed > 0, err
	}
	limited, cancel := context.WithTimeout(ctx, d.set.timeout)
	defer cancel()
	js, err := d.js.Stream(limited, jsStream(stream))
	if err != nil {
		return false, err
	}
	info := js.CachedInfo()
	msgs := int64(info.State.Msgs) //nolint:gosec // a count of messages fits
	bound, held := backlogOf(&info.Config), int64(0)
	if len(st.floors) > 0 { // without groups all that is stored waits
		held = max(0, msgs-st.backlog)
	}
	bound += held
	s.raised = held > 0
	if cfg := info.Config; cfg.MaxMsgs != bound {
		cfg.MaxMsgs = bound // never below what is stored: with DiscardNew the server removes nothing for it in any case
		if _, err := d.js.UpdateStream(limited, cfg); err != nil {
			return false, err
		}
	}
	return msgs < bound, nil
}

// metaBacklog is the key of the wanted MaxBacklog in a stream's metadata: MaxMsgs may be above it for a while.
const metaBacklog = "streamerson-max-backlog"

func backlogOf(cfg *jetstream.StreamConfig) int64 {
	if n, err := strconv.ParseInt(cfg.Metadata[metaBacklog], 10, 64); err == nil && n > 0 {
		return n
	}
	return cfg.MaxMsgs
}
