// Package report shows what a benchmark measured: WriteHTML writes one self-contained page with tables and plots, WritePNG the
// plots alone, Compare sets two runs against each other. All are pure functions of a result.Run: they measure nothing, read no
// clock and hide nothing. A leg that failed, or a figure that was not measured, is shown as such.
//
// The functions may be called concurrently; none keeps or changes the run.
package report
