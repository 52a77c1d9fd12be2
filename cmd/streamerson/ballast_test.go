package main

import (
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"
)

// heapGoal is the heap size at which the collector runs next, in bytes.
func heapGoal() uint64 {
	runtime.GC()
	s := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

func TestBallast(t *testing.T) {
	for _, c := range []struct {
		name, gogc, limit string
		want              bool
	}{
		{"nothing set", "", "", true},
		{"GOGC set", "100", "", false},
		{"GOMEMLIMIT set", "", "100MiB", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("GOGC", c.gogc)
			t.Setenv("GOMEMLIMIT", c.limit)
			ballast, ballastOnce = nil, sync.Once{}
			keepBallast()
			t.Cleanup(func() { ballast = nil })
			if got := ballast != nil; got != c.want {
				t.Errorf("ballast is kept: %v, want %v", got, c.want)
			}
			if goal := heapGoal(); c.want && goal < 2*ballastSize {
				t.Errorf("the collector runs at %d bytes, want at least %d", goal, 2*ballastSize)
			}
		})
	}
}
