// Package history records what the processes of a test did with messages, and judges it.
//
// Each child process has a Recorder that writes one line of JSON an event, at once: a process that is killed leaves all that it
// did. Those of the test's own process keep events in memory. A Book collects the files of one run, and Rules.Check judges the events by the rule that holds for every transport:
// what was accepted is handled, dead-lettered or still there; nothing is invented; a request has one answer at most; what was
// rejected is never delivered. The book's file is kept when the run failed, and removed otherwise.
//
// Recorders stand between rpc and a driver (Driver) and around calls and handlers (Client, Server), so that what the
// system says is compared with what the transport did.
package history
