package result

import (
	"fmt"
	"time"
)

// The processes that a leg may have, in the order of tables and stacks.
const (
	PartClient  = "client"
	PartGateway = "gateway" // or the HTTP proxy
	PartWorker  = "worker"  // or the HTTP server
	PartBroker  = "broker"
)

// Parts are all of them in that order.
var Parts = []string{PartClient, PartGateway, PartWorker, PartBroker}

// Cell is one leg under one load: what a visit measures.
type Cell struct {
	// Group is the interleaved run that the cell was part of: "redis", "nats", "kafka", "curve", "open" and the like.
	Group string `json:"group"`
	Leg   string `json:"leg"`
	// Workload is its name: "echo-128".
	Workload string `json:"workload"`
	// InFlight is the number of calls at once: always in closed loop (Rate 0), at most in open loop.
	InFlight int `json:"in_flight"`
	// Rate is the arrivals a second in open loop; Arrival how they are spaced ("poisson", "constant").
	Rate    float64 `json:"rate,omitempty"`
	Arrival string  `json:"arrival,omitempty"`
	// Load says where in a series the cell stands, when Rate depends on the machine: "50%" of the leg's saturation.
	Load string `json:"load,omitempty"`
	// Streams that the calls are spread over, 1 unless said; Routes of the gateway, 1 unless said.
	Streams int `json:"streams,omitempty"`
	Routes  int `json:"routes,omitempty"`
	// Size is the mean of the bodies in bytes.
	Size int `json:"size"`
	// Connections to the broker by part, counted while the cell's leg was up.
	Connections map[string]int `json:"connections,omitempty"`
	Rounds      []Round        `json:"rounds"`
	// Failed says why the cell could not be measured; it has no rounds then.
	Failed string `json:"failed,omitempty"`
}

// Open reports whether the load was an open loop.
func (c *Cell) Open() bool { return c.Rate > 0 || c.Load != "" }

// Name tells the cell from others of its group: "redis-rpc@256", or "redis-rpc~50%" in open loop. Other workloads than
// echo-128 stand in front: "echo-4k:http@256".
func (c *Cell) Name() string {
	name := fmt.Sprintf("%s@%d", c.Leg, c.InFlight)
	switch {
	case c.Load != "":
		name = c.Leg + "~" + c.Load
	case c.Rate > 0:
		name = fmt.Sprintf("%s~%.0f/s", c.Leg, c.Rate)
	}
	if c.Workload != "" && c.Workload != DefaultWorkload {
		name = c.Workload + ":" + name
	}
	return name
}

// DefaultWorkload is what goals mean unless they name another.
const DefaultWorkload = "echo-128"

// Key is unique in a run.
func (c *Cell) Key() string { return c.Group + "/" + c.Name() }

// Round is one cell's two visits of one round, added up: one in the order of the cells and one in the reverse order.
type Round struct {
	// Calls were made, or were due and dropped: OK + Wrong + Dropped + the sum of Errors.
	Calls   int `json:"calls"`
	OK      int `json:"ok"`
	Wrong   int `json:"wrong,omitempty"`
	Dropped int `json:"dropped,omitempty"`
	// Errors by text.
	Errors  map[string]int `json:"errors,omitempty"`
	Elapsed time.Duration  `json:"elapsed_ns"`
	// Latency of the calls that succeeded: in open loop from the time that the call was meant to be sent.
	Latency Quantiles `json:"latency"`
	// HDR is the same as a histogram; see Histogram. A rival's client may not give it.
	HDR string `json:"hdr,omitempty"`
	// Late is how long after its time a call was really sent, on average: what the load generator itself brought in.
	Late time.Duration `json:"late_ns,omitempty"`
	// CPU of each process; the broker's as it tells itself, or as the system does.
	CPU map[string]time.Duration `json:"cpu_ns"`
	// Allocs are of the processes that can tell.
	Allocs map[string]Allocs `json:"allocs,omitempty"`
	// Counters are the parts' own: "client.publish.items".
	Counters map[string]int64 `json:"counters,omitempty"`
	Broker   BrokerUse        `json:"broker"`
	// Lag is the most requests that were seen waiting for a worker, sampled; −1 if it was not looked at.
	Lag int64 `json:"lag"`
	// Split is nil where the leg doesn't tell.
	Split *Split `json:"split,omitempty"`
	// Classes of calls that a workload tells apart, by name.
	Classes map[string]Class `json:"classes,omitempty"`
}

// Quantiles of latencies, exact for one visit; a round's are of both visits' calls together.
type Quantiles struct {
	P50  time.Duration `json:"p50_ns"`
	P90  time.Duration `json:"p90_ns"`
	P99  time.Duration `json:"p99_ns"`
	P999 time.Duration `json:"p999_ns"`
	Max  time.Duration `json:"max_ns"`
}

// Allocs is what a process took from the heap.
type Allocs struct {
	Objects uint64 `json:"objects"`
	Bytes   uint64 `json:"bytes"`
}

// BrokerUse is what the broker did, as it tells itself; zero what it doesn't.
type BrokerUse struct {
	// Commands counts calls by name.
	Commands map[string]int64 `json:"commands,omitempty"`
	// BytesIn and BytesOut are its network traffic, Reads its reads from sockets.
	BytesIn  int64 `json:"bytes_in,omitempty"`
	BytesOut int64 `json:"bytes_out,omitempty"`
	Reads    int64 `json:"reads,omitempty"`
}

// Split is where a call's time went, medians of a sample. The parts may overlap and need not add up to the median.
type Split struct {
	// Outside is what the caller measured beyond the rest: HTTP and gateway; 0 where the caller is the rpc client itself.
	Outside time.Duration `json:"outside_ns"`
	// Wait is until the broker had accepted the request, Queue the time in the stream, Handler in the handler, Reply the rest.
	Wait    time.Duration `json:"wait_ns"`
	Queue   time.Duration `json:"queue_ns"`
	Handler time.Duration `json:"handler_ns"`
	Reply   time.Duration `json:"reply_ns"`
}

// Class is one kind of call of a workload.
type Class struct {
	OK      int       `json:"ok"`
	Latency Quantiles `json:"latency"`
}
