// Package nats is the transport over NATS, by nats.go: JetStream for requests, core NATS for lanes. It needs nats-server
// 2.12.6 or newer; Open refuses older servers.
//
// # URL
//
//	nats://user:password@host:4222          JetStream; several servers: nats://a:4222,b:4222; nats+tls:// with TLS
//	nats+core://host:4222                   core NATS, at most once (see below); nats+core+tls://
//
// Parameters: timeout (2s; how long an answer may take), dial_timeout (1s), token, creds (a credentials file), nkey (a seed
// file), inbox_prefix (_INBOX), replicas (1) and storage (file, or memory) of streams that are made here, dedup (true: message ids,
// see Outcomes), tls_ca, tls_cert, tls_key (PEM files), tls_server_name. Any other is an error that names it.
//
// An account needs streamerson.>, $JS.API.> and $JS.ACK.>, and its inbox prefix. Set the server's max_payload to the largest body
// and some room: its default is 1 MiB. Set max_file_store below what its disk has: past that bound it refuses (CodeFull) and takes more
// once there is room, but a server whose disk is really full turns JetStream off until it is restarted.
//
// # Connections
//
// One for a process, for all streams, lanes and groups. It has one inbox for all answers and a subscription without a
// goroutine for each stream that is served; nothing blocks anything else.
//
// # Names
//
// Dots in names become '='. A stream is the JetStream stream streamerson_NAME on the subject streamerson.s.NAME; a group is a
// durable pull consumer of it; a private lane is the subject streamerson.lane.INSTANCE.N.NAME, which is its address; a shared
// one is streamerson.shared.NAME.
//
// # Streams and groups
//
// A stream keeps everything until all its groups have settled it, and is then trimmed by the workers: a second later, or five where
// there is much. DiscardNew: past MaxBacklog messages that wait or are worked on it refuses, exactly but for acks that are
// under way. Without groups it keeps all. A group is made with DefaultLease as its AckWait, and gets the lease of whoever joined
// last: give all members of a group the same. A group or stream that is deleted by hand is made again by whoever uses it; the group
// goes on behind what it was known to have settled, so that nothing is lost and what it settled last may come again.
//
// As durable as the server: with storage=file an accepted message is in the operating system's hands (it survives kill -9), and on the
// disk after the server's sync_interval, 2 minutes unless it is configured (sync_interval: always); with replicas=3 it is on two
// servers. Ack states are written some 100 ms later: a crash of the server can bring again what was settled.
//
// # Receive
//
// One pull for each stream with credit, of its share of the credits, which the server answers at once or with what comes next; with
// one stream that is one round trip. With more streams than slots they take turns of 50 ms: give a worker as many slots
// as streams, or keep in mind that an idle stream's first request may wait for (streams ÷ slots) × 50 ms. What pulls bring while no
// Receive runs (for 10 ms) is given back, with an attempt counted.
//
// # Outcomes
//
// A PubAck is an acceptance; an error in it, or no responders, is a certain rejection. While the connection is down all is
// refused at once, and nothing is kept for later. A message with a DedupID that broke on the way is sent again within the same
// Publish (up to 750 ms after), and stored once: JetStream remembers ids for 20 s. That costs about a tenth of a call; with
// dedup=false such a message is Unknown, as with other brokers. To a lane, acceptance means that the
// server had a subscriber for it when it handled it: it is lost if that one's connection breaks in that moment. What PublishLate takes (to a
// lane, and requests in core mode) is confirmed 10 ms later at most and a round trip, and refused at once. Acks are sent
// without waiting; Release and Extend are confirmed. The server takes an ack or extension from anyone, so a delivery whose
// lease has run out by our own clock is CodeStale.
//
// # Core mode
//
// nats+core:// stores nothing. A request goes to one member of the group by a queue subscription: from Join on, and of the
// streams that it lists once it has called Receive. It waits in that process (at most 8,192; what comes beyond is dropped, with
// EventDeleted): credits bound what Receive returns, not what was
// sent here. No subscriber means a rejection with CodeUnavailable at once. There is no redelivery, Release, Extend, Browse, Age
// or MaxBacklog; a second group gets its own copy. Acceptance means that some group's member was subscribed. When a process
// dies, what it held is gone, and its callers find out at their deadline: use it for what may be asked again.
package nats
