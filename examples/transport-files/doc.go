// Package files is an example of a transport: a folder as the broker, for processes of one machine. It is small enough to be
// read at once, and it passes the conformance suite; docs/write-a-transport.md walks through it. It polls, and lists whole
// folders, so it is for thousands of waiting messages, not for millions.
//
//	streams/STREAM/GROUP/ID.ATTEMPT.UNTIL   a message of a group; UNTIL is when its lease ends, 0 while it waits
//	streams/STREAM/-/ID.0.0                 the same while the stream has no group
//	lanes/ADDRESS/ID.0.0                    a message to a lane; a shared lane has a folder in lanes/~NAME for each reader
//
// All rests on two promises of POSIX file systems: rename is atomic, and of several processes that rename or remove one file
// only one succeeds. Whoever renames a message to its next attempt has its lease.
package files
