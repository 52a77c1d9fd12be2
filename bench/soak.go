package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	psprocess "github.com/shirou/gopsutil/v4/process"

	"github.com/streamerson/streamerson/bench/load"
	"github.com/streamerson/streamerson/bench/result"
	"github.com/streamerson/streamerson/transport"
)

const (
	// soakCap is a lane's default cap, the longest that anything may stay: requests are trimmed once they are settled.
	soakCap = transport.DefaultLaneLen
	// soakLooks is how often memory is looked at along the run, at equal distances.
	soakLooks = 10
	// flatHeap is how much more heap a process may hold at the end than at the first look: a runtime's own heap breathes.
	flatHeap = 1.1
	// heapSlack is a heap in bytes below which growth means nothing: pools and maps that fill up once.
	heapSlack = 4 << 20

	sampleEvery = 250 * time.Millisecond
	// settleWait is more than a lease: acks and trimming that are due have happened by then.
	settleWait = 5 * time.Second
)

// soak makes very many calls through leg and waits until the broker has settled, at most settleWait.
func soak(ctx context.Context, leg *processLeg, b *redisBroker, l load.Load) (result.Soak, error) {
	// So many entries would grow the log by gigabytes; nothing is compared in this leg.
	if err := b.rdb.ConfigSet(ctx, "auto-aof-rewrite-percentage", "100").Err(); err != nil {
		return result.Soak{}, err
	}
	s := result.Soak{Leg: leg.about.Name, Cap: soakCap}
	watch, cancel := context.WithCancel(ctx)
	longest := make(chan int64, 1)
	go func() { longest <- b.longest(watch, leg.about.Name) }()
	err := leg.soak(ctx, l, &s)
	cancel()
	s.Longest = <-longest
	if err != nil {
		return s, err
	}
	for deadline := time.Now().Add(settleWait); ; {
		if s.Streams, err = b.streams(ctx, leg.about.Name); err != nil {
			return s, err
		}
		s.Clean = !slices.ContainsFunc(s.Streams, func(st result.Stream) bool { return st.Pending+st.Unread > 0 || st.Length > s.Cap })
		if s.Clean || time.Now().After(deadline) {
			return s, nil
		}
		time.Sleep(sampleEvery)
	}
}

// soak makes the calls in pieces and looks at the processes' memory after each.
func (l *processLeg) soak(ctx context.Context, ld load.Load, s *result.Soak) error {
	left := ld.Calls
	for n := range soakLooks {
		ld.Calls = left / (soakLooks - n)
		left -= ld.Calls
		if ld.Calls == 0 {
			continue
		}
		r, err := l.client.Run(ctx, ld)
		if err != nil {
			return err
		}
		s.Calls += r.Calls
		s.OK += r.OK
		s.Elapsed += int64(r.Elapsed)
		m := result.Memory{Calls: s.Calls, Heap: map[string]uint64{}, RSS: map[string]uint64{}}
		for i, p := range l.running {
			u, err := p.Collect(ctx)
			if err != nil {
				return err
			}
			part := l.steps[i].part
			if u.Heap > 0 {
				m.Heap[part] = u.Heap
			}
			if sys, err := psprocess.NewProcessWithContext(ctx, int32(p.PID())); err == nil {
				if mem, err := sys.MemoryInfoWithContext(ctx); err == nil {
					m.RSS[part] = mem.RSS
				}
			}
		}
		s.Memory = append(s.Memory, m)
	}
	if s.Elapsed > 0 {
		s.Rate = float64(s.OK) / time.Duration(s.Elapsed).Seconds()
	}
	return nil
}

// flat is the goal that no process holds more at the end of a soak than near its beginning: the worst of them.
func flat(s result.Soak) result.Goal {
	first, last := s.Memory[0], s.Memory[len(s.Memory)-1]
	g := result.Goal{
		Title: fmt.Sprintf("heap after %d calls ÷ after %d", last.Calls, first.Calls), What: result.WhatHeap, Num: "soak/" + s.Leg, AtMost: flatHeap,
	}
	worst := 0.0
	for part, before := range first.Heap {
		worst = max(worst, float64(max(last.Heap[part], heapSlack))/float64(max(before, heapSlack)))
	}
	g.Rounds = []float64{worst}
	settle(&g)
	return g
}

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

// streams looks at what the broker holds for a leg: its own stream, and those that bear no leg's name (lanes).
func (b *redisBroker) streams(ctx context.Context, leg string) ([]result.Stream, error) {
	var out []result.Stream
	it := b.rdb.ScanType(ctx, 0, "*", 1000, "stream").Iterator()
	for it.Next(ctx) {
		key := it.Val()
		if _, of, ok := strings.Cut(key, streamPrefix); ok && of != leg && !strings.HasPrefix(of, leg+".") {
			continue
		}
		st := result.Stream{Key: key}
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
	slices.SortFunc(out, func(x, y result.Stream) int { return strings.Compare(x.Key, y.Key) })
	return out, it.Err()
}
