// Package bench answers what the hop over a broker costs against HTTP and against the broker's bare client, on the user's
// own machine. Everything that is compared runs in one interleaved run: the cells in order, then in the reverse order, for
// several rounds; a figure is the median of the rounds' ratios, with the smallest and largest. Client, worker, gateway and
// broker are separate processes: the program starts itself again in a hidden role.
//
// Every reply's bytes are checked, and losses, drops and errors are counted and shown. Closed loop (a number in flight) finds
// rates and costs, open loop (arrivals at a rate) latencies as users meet them; see package load.
//
// A suite is one interleaved run; its legs are ways to make calls (leg.go), its cells what is visited (interleave.go), its goals
// what is judged (goals.go). Packages below: load makes the calls, role is the protocol of the processes, parts what runs in
// them, workload the YAML, result what comes out.
package bench
