// Package redis is the transport over Redis Streams, by go-redis. It needs Redis 7.0 or newer (or a fork that has its
// commands); Open refuses older servers.
//
// # URL
//
//	redis://user:password@host:6379/0            one server; rediss:// with TLS
//	redis+sentinel://s1:26379,s2:26379/0?master=NAME    the master that sentinels name; rediss+sentinel://
//	redis+cluster://n1:6379,n2:6379              a Cluster; rediss+cluster://
//
// Parameters: timeout (2s; how long an answer may take before the connection counts as broken), dial_timeout (1s), codec
// (direct, the default: the commands of every call bypass go-redis on its connection; go-redis: none does),
// tls_ca, tls_cert, tls_key (PEM files), tls_server_name, master, sentinel_username, sentinel_password. Any other is an
// error that names it.
//
// # Connections
//
// Three for a driver with one consumer, however many streams it serves: one for all that doesn't block, one for the blocked
// read of the consumer, one for the blocked read of all lanes. The second is opened by the first Receive, the third by the
// first Receive of a tailer. Each further Join opens one more: XREADGROUP reads for one group and consumer, and a connection
// blocks in one command at a time. An rpc.Client joins nothing and an rpc.Server once. None is shared: a blocking read never holds up a publish. With Sentinel the client
// library adds its own to the sentinels. In a Cluster there is one for each node in place of each of the three, and several
// streams or lanes are polled (each ≤ 20 ms), for one blocking read can't cover streams in several slots.
//
// # Many streams
//
// A consumer of more than 64 streams has Redis tell it, on the connection that it reads with, to which of them something was added
// (HELLO 3, CLIENT TRACKING ON BCAST), and reads those; every 250 ms it reads all, should a hint get lost. Publishers need to know nothing
// of it. Where the server or the user's ACL refuses that, with codec=go-redis and in a Cluster, all streams are swept instead: that costs the
// broker some 1 µs a stream and sweep, and beside a burst on few of them a request on a quiet one waits up to 20 ms.
//
// # Keys
//
//	streamerson:{NAME}               a stream (field "b" is the body)
//	streamerson:{NAME}:live:GROUP    sorted set: the group's live consumers, scored by when their sign of life runs out
//	streamerson:lane:{INSTANCE}:NAME.N#CAP    a private lane; the key is its address
//	streamerson:lane:{~NAME}         a shared lane; its address is ~NAME
//
// All keys of one stream are in one slot of a Cluster.
//
// # Outcomes
//
// An error reply is a certain rejection (OOM → full, LOADING, READONLY … → unavailable). So is a message that was queued when
// the connection turned out dead, and all messages while the broker is known to be away: those are refused at once, and
// one prober looks for it every 25–250 ms. Behind a pipeline that isn't answered nobody waits longer than 750 ms. When the
// connection breaks, or timeout passes, after bytes were written, the outcome is unknown; nothing is ever sent twice.
//
// # What it does by itself
//
// Every 500 ms a sign of life for each stream in the last credits (2 s to live). Every second, or each 4 ms times the number of streams if
// those are more than 250: settled entries are trimmed from the streams, up to the lowest id that any group has pending or unread, so that a stream whose every message is
// settled ends empty. Every second: the lanes' leases are renewed (30 s to live, after which Redis removes the lane of a dead owner);
// what vanished is made again. Every 30 s consumers that hold nothing and were not seen for a minute are deleted. MAXLEN is
// only used on lanes.
//
// A consumer's name in Redis ends with its lease ("NAME@3000ms"), so that others know when what it holds is free. Release with
// a delay isn't possible (XCLAIM only makes entries older), and is refused. A lane is capped exactly,
// by the last of the messages that are published to it together.
package redis
