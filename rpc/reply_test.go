package rpc

import (
	"math"
	"testing"
	"time"
)

func TestBudgetIsRoundedUp(t *testing.T) {
	for d, want := range map[time.Duration]uint32{
		-time.Hour: 1, 0: 1, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, time.Second: 1000,
		math.MaxInt64 - 1: math.MaxUint32, math.MaxInt64: math.MaxUint32, // "as long as you like" must not become one millisecond
	} {
		if got := budgetMillis(d); got != want {
			t.Errorf("%d: %d ms, want %d", d, got, want)
		}
	}
}
