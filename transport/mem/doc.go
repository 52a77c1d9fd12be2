// Package mem is the in-process transport: streams, groups and lanes in this process's memory. It is the reference for what
// the transport contract means, it serves unit tests, and it lets a program run gateway and workers in one process with no
// broker installed.
//
// A Broker holds the streams; each Driver opened on it stands for one process of a real system. "mem://name" opens a driver
// on the broker of that name, which lives as long as the process, so that data outlives the last driver as it would on a
// server; "mem://" and New open a driver on a private broker.
//
// No goroutine and no timer exists except inside a blocked Receive: leases and delays are looked at when somebody asks for
// deliveries. Time comes only from package time and waiting happens only on channels, so everything works inside a
// testing/synctest bubble; a broker must then be opened and used within one bubble.
//
// What it does not claim: OrderedByKey, because deliveries leave in order but two members of a group may handle two of them at
// once, and a redelivery comes after its successors. Deduplication is off unless asked for ("mem://name?dedup=true"), because
// no outcome is ever unknown here but through Faults, and it costs a map entry a message.
//
// Locking: one mutex a broker guards everything; nothing blocks or calls out while it is held.
package mem
