package role

import (
	"context"
	"time"

	"github.com/streamerson/streamerson/bench/load"
	"github.com/streamerson/streamerson/bench/result"
)

// Spec is the first line that a role process reads from its standard input.
type Spec struct {
	Role string
	// URL of the broker, or of the HTTP server that is called.
	URL string
	// Stream of requests, for brokers.
	Stream string
	// Streams is how many streams there are, named Stream, Stream.1, Stream.2 and so on, which calls are spread over by their
	// number; 0 means 1.
	Streams int `json:",omitempty"`
	// Slots is how many requests a worker takes at once.
	Slots int
	// Pack has callers and gateways say that requests may share messages (rpc.Request.Pack).
	Pack bool `json:",omitempty"`
	// Routes is how many routes a gateway has besides the one that is called.
	Routes int `json:",omitempty"`
	// Kinds, if given, are those of the load: a worker spends the CPU time that bodies ask for (load.Demand).
	Kinds []Kind `json:",omitempty"`
	// CPUProfile is a file to write a profile of the process's life to, "" for none.
	CPUProfile string `json:",omitempty"`
}

// Kind is how a worker serves one kind of a load's calls.
type Kind struct {
	Name string
	// Stream is appended to the spec's, "" for none: kinds of one stream share its slots.
	Stream string `json:",omitempty"`
	// Min and Max slots of that stream; 0 for none reserved, and no limit. Those of a stream's first kind count.
	Min, Max int `json:",omitempty"`
}

// Usage is what a process has used since it began.
type Usage struct {
	// CPU is user and system time.
	CPU time.Duration
	// Counters are the process's own: "publish.batches", "publish.items" and the like.
	Counters map[string]int64 `json:",omitempty"`
	// Allocs is what it took from the heap, if it can tell; Heap the bytes of live objects as of the last collection.
	Allocs *result.Allocs `json:",omitempty"`
	Heap   uint64         `json:",omitempty"`
	// Split is where the time of its calls went since the last order for usage; Total is the median that its parts belong to.
	Split *result.Split `json:",omitempty"`
	Total time.Duration `json:",omitempty"`
}

// Request is an order to a role process.
type Request struct {
	// Op is "run", "usage", "collect" (usage after a garbage collection) or "stop"; the end of input means stop.
	Op   string
	Load load.Load
}

// Answer is what it says to each line.
type Answer struct {
	Addr   string       `json:",omitempty"`
	Result *load.Result `json:",omitempty"`
	Usage  *Usage       `json:",omitempty"`
	Err    string       `json:",omitempty"`
}

// A Part is what runs in a role process.
type Part struct {
	// Addr is what others connect to, if anything.
	Addr string
	// Caller is set in client roles.
	Caller load.Caller
	// Counters may be nil; see Usage.Counters.
	Counters func() map[string]int64
	// Split may be nil; see Usage.Split.
	Split func() (*result.Split, time.Duration)
	// Close ends the part and may be nil. It gets stopTimeout.
	Close func(ctx context.Context) error
}

// Starter brings up a part; when it returns, the part serves.
type Starter func(ctx context.Context, spec Spec) (*Part, error)

const (
	// StopTimeout bounds how long a role process may take to end before it is killed.
	StopTimeout = 10 * time.Second
	// maxLine is the longest answer in bytes: a result has a histogram.
	maxLine = 4 << 20
)
