// Package role is how the benchmark talks to the processes that it measures: clients, workers, gateways. Each is a program
// that reads orders from its standard input, one JSON object a line, and answers on its standard output the same way; what
// it logs goes to its standard error. Go programs call Serve; others follow these rules:
//
//	in:  {"Role":"rpc-client","URL":"redis://…","Stream":"bench.x","Slots":256}      the first line, a Spec
//	out: {"Addr":"http://127.0.0.1:1234"}                                          ready; Addr if others connect to it
//	in:  {"Op":"run","Load":{"Calls":1000,"InFlight":64,"Size":128}}               clients only: make calls, see load.Load
//	out: {"Result":{"Calls":1000,…,"OK":1000,"Elapsed":123,"CPU":45,…}}            see load.Result
//	in:  {"Op":"usage"}
//	out: {"Usage":{"CPU":123456789,"Counters":{"publish.batches":3}}}              since the process began, see Usage
//	in:  {"Op":"stop"}, or the end of input, which is also what a dead parent leaves: the process ends
//
// An answer of {"Err":"…"} says that the order failed; after the first line that ends the process. Durations are nanoseconds.
package role
