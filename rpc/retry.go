package rpc

import (
	"math/rand/v2"
	"sync"
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

// retryBudget keeps retries to a tenth of the traffic, so that a broker in trouble isn't finished off by them.
type retryBudget struct {
	mu     sync.Mutex
	tokens float64
}

func newRetryBudget() *retryBudget { return &retryBudget{tokens: retryBurst} }

func (b *retryBudget) earn() {
	b.mu.Lock()
	b.tokens = min(b.tokens+retryRatio, retryBurst)
	b.mu.Unlock()
}

func (b *retryBudget) spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

func retryWait(attempt int) time.Duration {
	return time.Duration(rand.Int64N(int64(retryBase<<attempt))) + time.Millisecond
}
