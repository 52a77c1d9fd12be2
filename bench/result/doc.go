// Package result holds what a benchmark measured, as plain data with a fixed JSON form: the run's file is the interface
// between the harness that measures, the report that draws and the comparison of two runs. It measures and judges nothing.
//
// All durations are nanoseconds, all CPU times user and system time together. A figure that could not be told is left out of
// the JSON and zero here. Values may be copied; nothing here is safe for use by several goroutines while one writes.
package result
