package transport

import (
	"context"
	"time"
)

// Driver is one process's connection to one broker. All methods may be called from several goroutines at once. A driver
// reconnects by itself, with back-off, for as long as it is open; no method waits for a reconnection longer than its
// context or the driver's own documented time limit, whichever is shorter.
type Driver interface {
	// Capabilities tells what this broker gives, as found when the driver was opened. It never blocks and is constant for
	// the driver's life.
	Capabilities() Capabilities

	// Ensure creates the streams and groups in specs that do not exist yet and leaves the others as they are. A new group
	// starts at the beginning of its stream. It is idempotent, safe when many processes call it at once, and remembered:
	// after the broker lost a stream or group (DEL, FLUSHALL, a restart without its data), the driver makes it again by
	// itself. It blocks for one or two broker round trips. The driver does not keep the slice.
	Ensure(ctx context.Context, specs []StreamSpec) error

	// Publish hands msgs to the broker, in order within a stream (where OrderedInPublish), and sets results[i] for each msgs[i]; both slices have
	// the same length. It blocks until every outcome is known or has become OutcomeUnknown, at the latest when ctx ends. It
	// never retries a message whose outcome is unknown, unless Capabilities.Dedup. Message bodies may be reused by the
	// caller once it returns; the driver keeps neither slice. Calls at once are allowed, but order is kept only inside one.
	Publish(ctx context.Context, msgs []Message, results []Result)

	// Join makes this process a member of sub.Group. The streams it serves are those named in Receive's credits, each
	// ensured before. It blocks for one broker round trip at most.
	Join(ctx context.Context, sub Subscription) (Consumer, error)

	// Tail opens a lane and attaches to it before it returns: whatever is published to its address from then on is read,
	// and nothing older. The lane is capped and leased by the broker, and goes away some time after its owner does.
	Tail(ctx context.Context, spec TailSpec) (Tailer, error)

	// Lag tells how far a group is behind on a stream and how many of its consumers live. A stream or group that does not
	// exist is CodeNotFound. It blocks for one broker round trip; callers sample it, they do not call it per request.
	Lag(ctx context.Context, stream, group string) (Lag, error)

	// Close ends every consumer and tailer of the driver, sends what Settle accepted, and closes the connections. Later
	// calls fail with CodeClosed; a second Close returns nil. It blocks until done or until ctx ends.
	Close(ctx context.Context) error
}

// Consumer is one member of a group. Receive is called by one goroutine at a time; Settle by any number, at any time
// before Close returns.
type Consumer interface {
	// Receive waits for deliveries and returns at least one and at most max of them, and of each stream at most its
	// credit (exactly: what Ledger allows). It fetches nothing beyond that: a driver that can't ask the broker exactly gives the surplus back at once.
	//
	// credits names every stream that the caller serves, first the ones to prefer; Max 0 means "served, but no slot free
	// now": such a stream is not read, but the consumer still counts as live for it. The driver remembers the list until
	// the next call, so the membership stays live while the caller is too busy to receive.
	//
	// Deliveries whose lease ran out elsewhere, or that were released, come through here as well, with a higher Attempt.
	// When ctx ends, Receive returns what it already holds with a nil error, or nothing with ctx.Err(): nothing delivered
	// is ever dropped. Any other error is a *Error; the caller may simply call again, after a pause of its own choice. The
	// deliveries and their bodies belong to the caller; the driver does not keep credits.
	Receive(ctx context.Context, max int, credits []Credit) ([]Delivery, error)

	// Settle ends or extends deliveries and sets errs[i] for each batch[i]; both slices have the same length. A settlement
	// that carries a Reply publishes that first, and acks only once the broker accepted it: with a failed reply errs[i] is
	// the reply's *Error and the delivery stays leased (extend it and settle again). A lane that is gone is CodeNotFound.
	// Neighbours that share a Reply have it published once, and share its outcome: see Settlement.Reply.
	//
	// A nil error for an ack means that the reply is accepted and that the ack is done or will be sent by the driver
	// shortly, at the latest by Close; an ack lost in a crash leads to a redelivery, never to a loss. A delivery whose
	// lease went to another consumer is CodeStale where the broker can tell; acking twice is harmless. Settle blocks for
	// one or two broker round trips or until ctx ends; it keeps neither slice, and reply bodies may be reused once it returns.
	Settle(ctx context.Context, batch []Settlement, errs []error)

	// Close leaves the group: a blocked Receive returns, waiting acks are sent, and unsettled deliveries become free for
	// others at once where the broker allows, otherwise when their lease ends. It never drops a pending delivery.
	Close(ctx context.Context) error
}

// Tailer reads one lane. Receive is called by one goroutine at a time.
type Tailer interface {
	// Address is what a sender puts in Message.Stream, with Message.Lane set. It is constant and safe to pass on.
	Address() string

	// Receive waits for messages and returns between 1 and max bodies, oldest first. They belong to the caller. When ctx
	// ends it returns what it holds, or ctx.Err(). Other errors are *Error; call again after a pause.
	Receive(ctx context.Context, max int) ([][]byte, error)

	// Close detaches and removes the lane, if it is not shared. A blocked Receive returns with CodeClosed.
	Close(ctx context.Context) error
}

// Browser is what a driver with Capabilities.Browse offers besides: reading a stream without being in a group, for dead
// letters and for people.
type Browser interface {
	// Browse returns up to max entries with ids above after ("" is the beginning), oldest first, none when at the end. It
	// takes nothing from any group. Blocks for one round trip. The deliveries belong to the caller and can't be settled.
	Browse(ctx context.Context, stream, after string, max int) ([]Delivery, error)

	// Remove deletes entries by the ids that Browse gave; unknown ids are ignored. Returns how many were there.
	Remove(ctx context.Context, stream string, ids []string) (int, error)
}

// StreamDeleter is what a driver may offer besides: deleting whole streams, for those who clean up after themselves, such as
// the conformance suite. Nothing that serves requests needs it.
type StreamDeleter interface {
	// DeleteStreams deletes the streams with their groups and all that they hold, and forgets that this driver ensured them;
	// another driver that did makes them again. Streams that do not exist are ignored. Blocks for some round trips for each.
	DeleteStreams(ctx context.Context, streams []string) error
}

// Presence is what a driver may offer besides, where Capabilities.LiveConsumers: whether anybody serves, of many streams at
// once, for less than Lag of each costs the broker.
type Presence interface {
	// Live sets live[i] to whether a consumer of group serves streams[i]; both slices have the same length. Where that can't be
	// known, for a stream or for all by an error, it is to be taken as true; a stream that does not exist has none. It may answer
	// as soon as one consumer is known. Blocks for one broker round trip, or until the consumers that are asked have answered,
	// at the latest until ctx ends. The driver keeps neither slice.
	Live(ctx context.Context, streams []string, group string, live []bool) error
}

// StreamSpec names a stream and the groups that read it.
type StreamSpec struct {
	// Stream is 1–200 characters of [A-Za-z0-9._-], see CheckName.
	Stream string
	// Groups may be empty: the stream is then only created (dead letters).
	Groups []string
	// MaxBacklog bounds how many requests may wait on the stream: past it, Publish answers OutcomeRejected with CodeFull. It
	// is a sampled bound (a driver may overshoot it by what arrives in 250 ms). 0 means DefaultMaxBacklog, where
	// Capabilities.Backlog, and no bound elsewhere.
	MaxBacklog int64
}

// DefaultMaxBacklog is the number of waiting requests past which a stream refuses more, unless configured: at 1 KiB a
// request it is about 1 GiB, which is what a small broker has.
const DefaultMaxBacklog = 1_000_000

// Subscription says how a process joins a group.
type Subscription struct {
	Group string
	// Consumer names this member; unique among the group's live members. Empty: the driver makes a unique one.
	Consumer string
	// Lease is how long a delivery may stay unsettled before another consumer gets it; 0 means DefaultLease.
	Lease time.Duration
}

// DefaultLease is short enough for a takeover within 5 s of a crash and long enough for a heartbeat each third of it.
const DefaultLease = 3 * time.Second

// Credit is the number of deliveries that the caller can take of one stream now.
type Credit struct {
	Stream string
	// Max bounds what one Receive returns of the stream.
	Max int
	// Own is how many of them fill slots that are reserved for this stream; the others share the slots that remain of
	// Receive's max beyond all Owns. Usually 0. Ledger does the sums.
	Own int
}

// TailSpec says which lane to open.
type TailSpec struct {
	// Name is part of the lane's address, for people. A private lane's address is made unique by the driver.
	Name string
	// Shared opens a broadcast lane whose address is SharedLane(Name), in every driver: every tailer reads all that is
	// published to it after it attached. Publishing to a shared lane that nobody tails is CodeNotFound.
	Shared bool
	// MaxLen caps what the lane holds for a slow reader; the oldest go first. 0 means DefaultLaneLen.
	MaxLen int64
}

// SharedLane is the address of the shared lane with that name: a sender needs no tailer of its own to know it. A driver
// maps it to whatever its broker calls it; no private lane's address begins with '~'.
func SharedLane(name string) string { return "~" + name }

// DefaultLaneLen is how many unread messages a lane holds unless configured; what is beyond it is dropped, oldest first.
const DefaultLaneLen = 65_536

// Lag is how far a group is behind. A number that the broker doesn't give is −1.
type Lag struct {
	// Waiting counts entries not yet delivered to the group; Pending those delivered and unsettled.
	Waiting, Pending int64
	// Oldest is the age of the oldest entry that waits or is pending, by the broker's clock; 0 when there is none.
	Oldest time.Duration
	// Consumers counts the group's members that are alive for this stream (seen within 2 s).
	Consumers int
}
