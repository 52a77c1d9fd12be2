package transport

import "time"

// Capabilities is what a driver claims. Each claim is tested on both sides: what is claimed must hold, and what isn't
// must be refused with CodeUnsupported.
type Capabilities struct {
	// Name is the transport's scheme; Version the broker's, as it reported it.
	Name, Version string
	// Durability is what the broker promises for an accepted message; DurabilityNote says in words how that was found out.
	Durability     Durability
	DurabilityNote string
	// MaxBody is the largest Message.Body in bytes.
	MaxBody int
	// CrossProcess: other processes can reach the same streams.
	CrossProcess bool
	// Stored: what is accepted waits at the broker, for a group that is made later and for consumers that come later or come
	// back. Without it a message goes at once to a consumer that has joined, waits in its process, and ends with it; while
	// nobody has joined, an ensured stream refuses with CodeUnavailable, a dead letter's too.
	Stored bool
	// Backlog: StreamSpec.MaxBacklog is kept. Without it Ensure refuses any value but 0 with CodeUnsupported.
	Backlog bool
	// Redeliver: a delivery that stays unsettled past its lease is given to another consumer.
	Redeliver bool
	// Extend, Release and ReleaseDelay: the verbs work (ReleaseDelay: with any delay).
	Extend, Release, ReleaseDelay bool
	// Dedup: two messages with one DedupID are stored once, so Unknown outcomes are retried.
	Dedup bool
	// OrderedInPublish: messages of one Publish reach the group in the order of the slice. Without it only a Key keeps order.
	OrderedInPublish bool
	// OrderedByKey: messages with one Key reach the group in order.
	OrderedByKey bool
	// BrokerTime: Delivery.Age is set.
	BrokerTime bool
	// LiveConsumers: Lag.Consumers is set, so that callers can refuse at once when nobody serves a stream.
	LiveConsumers bool
	// Browse: the driver is a Browser.
	Browse bool
	// Silence is the longest that Publish and Settle take when the broker does not answer at all; 0 means that the driver
	// doesn't know, and then no caller's own goroutine may be used for them.
	Silence time.Duration
	// Connections is the most connections that a driver with one consumer holds, for any number of streams and lanes; 0 means
	// it grows with them. A driver may hold one more for each further Join, and says so in its package's comment.
	Connections int
}

// Durability orders what survives: each level includes the ones before it.
type Durability uint8

// The levels, weakest first.
const (
	// DurabilityUnknown: the broker would not tell.
	DurabilityUnknown Durability = iota
	// DurabilityMemory: lost when the broker's process ends.
	DurabilityMemory
	// DurabilityProcess: survives kill -9 of the broker, not a power cut (the operating system has it, the disk may not).
	DurabilityProcess
	// DurabilityFsync: on the broker's disk before it is accepted.
	DurabilityFsync
	// DurabilityQuorum: on a majority of brokers before it is accepted.
	DurabilityQuorum
)

func (d Durability) String() string {
	switch d {
	case DurabilityMemory:
		return "memory"
	case DurabilityProcess:
		return "process-crash"
	case DurabilityFsync:
		return "fsync"
	case DurabilityQuorum:
		return "quorum"
	default:
		return "unknown"
	}
}
