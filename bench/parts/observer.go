package parts

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamerson/streamerson/bench/result"
	"github.com/streamerson/streamerson/rpc"
)

const (
	// sampleOneIn calls' times are kept: their medians are the same, and watching all would cost what is measured.
	sampleOneIn = 16
	// fewSamples are taken without leaving out any, so that a short run has medians as well.
	fewSamples = 64
	// maxSamples bounds what is kept between two looks.
	maxSamples = 1 << 14
)

// observer counts what rpc hands to its driver, and samples where its calls' time went.
type observer struct {
	rpc.NopObserver
	publishes, published, settles, settled atomic.Int64

	// enough is set once fewSamples are there.
	enough atomic.Bool

	mu      sync.Mutex
	samples []rpc.Timing
}

func (b *observer) Batch(kind string, n int) {
	switch kind {
	case "publish":
		b.publishes.Add(1)
		b.published.Add(int64(n))
	case "settle":
		b.settles.Add(1)
		b.settled.Add(int64(n))
	}
}

func (b *observer) CallDone(_, _ string, t rpc.Timing, err error) {
	if err != nil || b.enough.Load() && rand.Uint32()%sampleOneIn != 0 {
		return
	}
	b.mu.Lock()
	if len(b.samples) < maxSamples {
		b.samples = append(b.samples, t)
	}
	b.enough.Store(len(b.samples) >= fewSamples)
	b.mu.Unlock()
}

func (b *observer) counters() map[string]int64 {
	return map[string]int64{
		"publish.batches": b.publishes.Load(), "publish.items": b.published.Load(),
		"settle.batches": b.settles.Load(), "settle.items": b.settled.Load(),
	}
}

// split is the medians of the samples since the last call of it, and that of whole calls; nil when there were none.
func (b *observer) split() (*result.Split, time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.samples) == 0 {
		return nil, 0
	}
	median := func(of func(rpc.Timing) time.Duration) time.Duration {
		all := make([]time.Duration, len(b.samples))
		for i, t := range b.samples {
			all[i] = of(t)
		}
		slices.Sort(all)
		return max(0, all[len(all)/2])
	}
	s := &result.Split{
		Wait:    median(func(t rpc.Timing) time.Duration { return t.Publish }),
		Queue:   median(func(t rpc.Timing) time.Duration { return t.Queue }),
		Handler: median(func(t rpc.Timing) time.Duration { return t.Handler }),
		Reply:   median(rpc.Timing.Reply),
	}
	total := median(func(t rpc.Timing) time.Duration { return t.Total })
	b.samples = b.samples[:0]
	b.enough.Store(false)
	return s, total
}
