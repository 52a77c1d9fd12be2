// Package bench answers what the hop over a broker costs against HTTP and against the broker's bare client, on the user's
// own machine. Everything that is compared runs in one interleaved run: the legs in order, then in the reverse order, for
// several rounds; a figure is the median of the rounds' ratios, with the smallest and largest. Client, worker, gateway and
// broker are separate processes: the program starts itself again in a hidden role.
//
// Every reply's bytes are checked, and losses and errors are counted and shown. Load is closed loop: a fixed number of
// calls in flight. Latencies under that load are service times at saturation, not what an open arrival process would see.
package bench
