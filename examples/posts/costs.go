package posts

import (
	"context"
	"fmt"
	"os"
	"time"
)

// Costs says how much CPU the handlers use, in time on one core of about 3 GHz. The work is counted, not timed: it takes
// longer on a busy machine, as real work does.
type Costs struct {
	// Image is for POST /posts/image, besides decoding and encoding. Default 1 s.
	Image time.Duration
	// Get is for GET /posts/{id}. Default 10 ms.
	Get time.Duration
	// List is for GET /posts. Default 50 ms.
	List time.Duration
}

// DefaultCosts are those of the story: one slow route beside two fast ones.
func DefaultCosts() Costs {
	return Costs{Image: time.Second, Get: 10 * time.Millisecond, List: 50 * time.Millisecond}
}

// CostsFromEnv reads POSTS_IMAGE_COST, POSTS_GET_COST and POSTS_LIST_COST ("200ms"); what isn't set has its default.
func CostsFromEnv() (Costs, error) {
	c := DefaultCosts()
	for name, cost := range map[string]*time.Duration{"POSTS_IMAGE_COST": &c.Image, "POSTS_GET_COST": &c.Get, "POSTS_LIST_COST": &c.List} {
		s := os.Getenv(name)
		if s == "" {
			continue
		}
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 {
			return c, fmt.Errorf("%s=%q is not a duration; it looks like 200ms or 1s", name, s)
		}
		*cost = d
	}
	return c, nil
}

// roundsPerMillisecond is how many of burn's rounds a core does in a millisecond: measured at 1.6 ns each.
const roundsPerMillisecond = 600_000

// burn works for cost on one core, beginning with seed, and returns what it found: the same for the same arguments. It
// stops early when ctx ends, as a handler whose client has gone should.
func burn(ctx context.Context, cost time.Duration, seed uint64) (uint64, error) {
	x := seed*2654435761 + 88172645463325252
	for left := cost.Microseconds() * (roundsPerMillisecond / 1000); left > 0; left -= roundsPerMillisecond {
		for range min(left, roundsPerMillisecond) {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
	return x, nil
}
