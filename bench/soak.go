package bench

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// Soak is the long leg: very many calls once, and what they leave on the broker.
type Soak struct {
	Visit
	// Streams is what the leg's streams hold after it.
	Streams []StreamState
	// Longest is the most entries that were seen in any of the leg's streams meanwhile, sampled.
	Longest int64
	// Cap is what no stream may hold more of afterwards; Clean says that none does and nothing is pending.
	Cap   int64
	Clean bool
}

// StreamState is one stream's length and its groups' pending and unread entries.
type StreamState struct {
	Key                     string
	Length, Pending, Unread int64
}

// soakCap is a lane's default cap, the longest that anything may stay: requests are trimmed once they are settled.
const soakCap = transport.DefaultLaneLen

// soak runs calls through leg and waits until the broker has settled, at most settleWait.
func soak(ctx context.Context, leg Leg, b *redisBroker, l Load) (Soak, error) {
	// So many entries would grow the log by gigabytes; nothing is compared in this leg.
	if err := b.rdb.ConfigSet(ctx, "auto-aof-rewrite-percentage", "100").Err(); err != nil {
		return Soak{}, err
	}
	s := Soak{Cap: soakCap}
	watch, cancel := context.WithCancel(ctx)
	longest := make(chan int64)
	go func() { longest <- b.longest(watch, leg.Name()) }()
	v, err := leg.Run(ctx, l)
	cancel()
	s.Visit, s.Longest = v, <-longest
	if err != nil {
		return s, err
	}
	for deadline := time.Now().Add(settleWait); ; {
		if s.Streams, err = b.streams(ctx, leg.Name()); err != nil {
			return s, err
		}
		s.Clean = !slices.ContainsFunc(s.Streams, func(st StreamState) bool { return st.Pending+st.Unread > 0 || st.Length > s.Cap })
		if s.Clean || time.Now().After(deadline) {
			return s, nil
		}
		time.Sleep(sampleEvery)
	}
}

const (
	sampleEvery = 250 * time.Millisecond
	// settleWait is more than a lease: acks and trimming that are due have happened by then.
	settleWait = 5 * time.Second
)

func (b *redisBroker) longest(ctx context.Context, leg string) (most int64) {
	for {
		all, err := b.streams(ctx, leg)
		if err == nil {
			for _, s := range all {
				most = max(most, s.Length)
			}
		}
		select {
		case <-time.After(sampleEvery):
		case <-ctx.Done():
			return most
		}
	}
}

// streams looks at what the broker holds for a leg: its own streams, and those that bear no leg's name (lanes).
func (b *redisBroker) streams(ctx context.Context, leg string) ([]StreamState, error) {
	var out []StreamState
	it := b.rdb.ScanType(ctx, 0, "*", 1000, "stream").Iterator()
	for it.Next(ctx) {
		key := it.Val()
		if strings.Contains(key, streamPrefix) && !strings.Contains(key, streamPrefix+leg) {
			continue
		}
		st := StreamState{Key: key}
		var err error
		if st.Length, err = b.rdb.XLen(ctx, key).Result(); err != nil {
			return nil, err
		}
		groups, err := b.rdb.XInfoGroups(ctx, key).Result()
		if err != nil && !strings.Contains(err.Error(), "no such key") { // it went away meanwhile
			return nil, err
		}
		for _, g := range groups {
			st.Pending += g.Pending
			st.Unread += max(g.Lag, 0)
		}
		out = append(out, st)
	}
	slices.SortFunc(out, func(x, y StreamState) int { return strings.Compare(x.Key, y.Key) })
	return out, it.Err()
}
