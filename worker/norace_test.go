//go:build !race

package worker

// raceEnabled: the race detector makes sync.Pool forget on purpose, so that allocations can't be counted.
const raceEnabled = false
