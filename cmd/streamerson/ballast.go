package main

import (
	"os"
	"sync"
)

// ballastSize is how much garbage, in bytes, a serving process may gather at least before the collector runs. Go runs it when the
// heap has doubled, and a gateway or a worker holds a few megabytes: it would run some fifty times a second under load, for
// about a tenth of the process's CPU. What it costs is at most as much memory; large heaps are collected as ever.
const ballastSize = 32 << 20

var (
	ballast     []byte
	ballastOnce sync.Once
)

// keepBallast counts as heap what is never touched, so that the system gives no memory for it. A user who set GOGC or GOMEMLIMIT has
// decided by themselves; the latter would count it as well.
func keepBallast() {
	ballastOnce.Do(func() {
		if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
			ballast = make([]byte, ballastSize)
		}
	})
}
