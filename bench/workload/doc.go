// Package workload reads what a benchmark's clients do from YAML: how calls arrive, how large they are, how long the callee
// works on them, and over how many streams and routes they go. Files are strict: an unknown key or a bad value is an error
// that names the line and what to write instead. Presets come with the program.
package workload
