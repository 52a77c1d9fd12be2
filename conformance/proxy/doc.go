// Package proxy is a TCP hop before a broker that does to connections what networks do: latency, tiny segments, silence, cuts,
// and cuts at the moment when a chosen message passes. What happens to the bytes is done by toxiproxy's toxics, in this
// process; connections are accepted and ended here, because toxiproxy's own loop leaves goroutines behind when a
// connection is cut while data flows.
package proxy
