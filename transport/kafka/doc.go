// Package kafka is the transport over Kafka 2.4 and newer, by kafka-go's protocol packages.
//
// # URL
//
//	kafka://user:password@host1:9092,host2:9092     kafkas:// with TLS
//
// Parameters: timeout (2s; how long an answer may take before the connection counts as broken), dial_timeout (750ms),
// session (6s; how long a process that was killed keeps its partitions), drain (1s; how long a rebalance waits for running
// handlers), partitions (8; of new streams), replication (of new topics; the broker's default without it), max_body (16 MiB,
// in bytes; also set as max.message.bytes of new topics), via (host:port; every connection goes there and not to the address
// that the broker advertises: a tunnel or forwarded port before a cluster of one broker), sasl (PLAIN, SCRAM-SHA-256 or
// SCRAM-SHA-512; PLAIN when there is a user), tls_ca, tls_cert, tls_key (PEM files), tls_server_name. Any other is an error
// that names it.
//
// # What Kafka can't give, and what to do instead
//
// Kafka shares out partitions, not messages. That has consequences that no client can hide:
//
//   - At most as many processes work on a stream as it has partitions. Choose partitions for the most workers that you will
//     have. The number is fixed when the stream is made; kafka-topics.sh can raise it later.
//   - A slow process holds up what waits in its partitions, even while others are idle. Give long and short calls streams of
//     their own, and each process more handler slots. For the same reason handlers that call streams which their own process
//     serves can wait for each other when all its slots are taken: reserve slots (min) for the streams that are called.
//   - There are no leases (Redeliver and Extend are not claimed). A delivery stays with its process for as long as that lives:
//     a handler that hangs is never given to another. Set deadlines. When a process dies its partitions go to others after
//     the session, 6 s, or at once when it closes orderly.
//   - When a worker joins or leaves, the stream pauses for at most the drain. Handlers that run longer, and whose partition moves,
//     are run again by its new owner; what moves is kept small. Handlers have to be idempotent, as with every transport.
//   - A released delivery waits in its process, for any delay; a crash or a rebalance brings it back early rather than never.
//   - Browse isn't claimed: a partition can only be cut off at its beginning, not have single entries removed. Read dead letters
//     with kafka-console-consumer.sh. Settled requests stay in the topic until retention removes them, unread ones as well:
//     set retention.ms to more than the longest outage of your workers.
//   - Share groups, which give single messages to any member, aren't used: docs/adr/0011 has the measurements.
//   - Dedup isn't claimed: an Unknown publish is never repeated. The rpc core drops doubles by their id.
//
// # What it gives
//
// Acks in any order, kept: the commit's metadata lists what is settled above the watermark, and how often the rest was delivered,
// so attempts count over crashes. It is committed every 50 ms; what was acked after the last commit of a process that is killed
// is delivered again. Up to 4,000 bytes are kept for each partition: some hundred gaps, beyond which settled requests may come
// again. A process that is killed within 50 ms of a delivery may leave that attempt uncounted, except for the first deliveries
// after it got the partition.
//
// Messages with a key go to the partition that its FNV-1a hash names, in order. Those without are dealt out: a Publish uses one
// partition for each 8 of them, and the next Publish goes on with the next. So only a key keeps order (OrderedInPublish isn't
// claimed), and what many callers ask for at one moment doesn't all land with one worker. While Lag tells who serves the stream
// (rpc asks five times a second), a Publish uses one partition of each process instead: more would cost the broker and help nobody.
//
// In a cluster, when a broker dies its partitions have no leader until the controller has noticed (broker.session.timeout.ms, 9 s by
// default). Messages without a key go to the others meanwhile, after the first that found out; what was on its way is unknown.
//
// Publishing asks for acks=all. With one copy that survives the broker's process, not a power cut: Kafka doesn't sync to disk
// before it answers. With three copies and min.insync.replicas=2 it is Quorum; Open looks at the broker's defaults.
//
// Age and expiry go by the broker's clock: topics are made with LogAppendTime, so that each accepted publish tells it, and
// messages carry the time by it. Streams that others made with CreateTime work as well.
//
// # Outcomes
//
// An error code is a certain rejection, but for those with which the leader may hold the message (request timed out, not enough
// replicas after append, storage error). So is a connection that can't be made, or that the broker was seen to have closed. When
// the connection breaks or timeout passes after the request was sent, the outcome is unknown. Only a refusal for not leading
// the partition is sent again, to the leader.
//
// # Topics, groups, connections
//
//	NAME                         a stream
//	streamerson.lane.NAME.ID     a private lane, address @NAME.ID; deleted on Close
//	streamerson.shared.NAME      a shared lane, address ~NAME
//	streamerson.clock            where Open and every 15 s each process leaves a mark, to learn the broker's clock
//	streamerson:GROUP:STREAM     Kafka's group for a stream of a group
//
// The user needs the permissions to describe and create topics, to read and write them, to delete those that begin with
// streamerson., and to use groups that begin with streamerson:. Names that differ only in . and _ are the same to Kafka: Ensure
// refuses the second.
//
// At most six connections to each broker, for any number of streams and lanes, as each carries one request at a time: three for
// fetches, each of which names many partitions, and three for all else. A process that only calls has 3 or 4 most of the time,
// one that serves 4 or 5. Besides, each stream takes one while its group shares out its partitions anew, since a broker answers
// that when all members have come; those are closed after 3 s without use. Capabilities.Connections is 0 for that reason.
//
// # What it does by itself
//
// Every 50 ms it commits, every 500 ms each group's member beats, every second what vanished is made again, and every 15 s each lane
// gets a mark. Lanes without one for 90 s are deleted by other processes. A consumer that was killed counts as live until its
// session ends. A small number of records is read ahead for each partition, since Kafka has no "n records"; what is read ahead
// is not delivered, and the partition's next owner reads it anew.
package kafka
