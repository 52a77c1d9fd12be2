// Package load makes the calls of a benchmark's client and measures them, in two ways:
//
// Closed loop keeps a fixed number of calls in flight, each begun as soon as the one before has ended. It finds out how much
// a system can bear, and what a call costs then; its latencies are those of a system that is full.
//
// Open loop begins calls at times that were fixed before, whatever becomes of the calls before them, as many independent
// users do. A latency counts from the time at which the call was meant to begin. So a callee that stalls is charged with all
// calls that came meanwhile, and not only with those that a closed loop would have had in flight (coordinated omission).
package load
