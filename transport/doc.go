// Package transport is the contract between the rpc core and a message broker.
//
// A driver moves opaque bytes. It knows nothing of envelopes, deadlines, retries or handlers: those live once, in package
// rpc, above every driver. What a broker can't do it says in its Capabilities and refuses with CodeUnsupported; nothing is
// imitated in silence.
//
// The words: a stream is a named request log; a group is the set of workers that compete for a stream; a lane is the
// private address at which one process reads what is sent to it; a lease is how long a delivery may stay unsettled; a
// credit is a free handler slot, and nothing is fetched without one.
//
// The package imports only the standard library. Its three interfaces (Driver, Consumer, Tailer) are all that a new
// transport has to implement; Browser is optional.
package transport
