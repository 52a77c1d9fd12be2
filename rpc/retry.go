package rpc

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

const (
	// maxRetries is how often one call is published again, each time only after a certain rejection.
	maxRetries = 2
	// retryRatio of the calls may be retries; retryBurst is what a client that has just started may spend.
	retryRatio = 0.1
	retryBurst = 10
	// retryBase is the first wait, doubled each time, with full jitter.
	retryBase = 20 * time.Millisecond
)

// retryBudget keeps retries to a tenth of the traffic, so that a broker in trouble isn't finished off by them. It counts in
// thousandths of a retry; while it is full, which is always but in trouble, a call only reads it.
type retryBudget struct{ milli atomic.Int64 }

func newRetryBudget() *retryBudget {
	b := &retryBudget{}
	b.milli.Store(retryBurst * 1000)
	return b
}

func (b *retryBudget) earn() {
	if b.milli.Load() < retryBurst*1000 {
		b.milli.Add(retryRatio * 1000)
	}
}

func (b *retryBudget) spend() bool {
	for {
		m := b.milli.Load()
		if m < 1000 {
			return false
		}
		if b.milli.CompareAndSwap(m, m-1000) {
			return true
		}
	}
}

func retryWait(attempt int) time.Duration {
	return time.Duration(rand.Int64N(int64(retryBase<<attempt))) + time.Millisecond
}
