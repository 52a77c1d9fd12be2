// Package worker makes ordinary HTTP services work from streams: HTTP turns an unchanged net/http handler into an
// rpc.Handler, Forward does it for an HTTP server in any language (the sidecar), and RoundTripper lets a handler's ordinary
// *http.Client call other services over the streams it is served from. Run serves the streams that a configuration names;
// it is a thin layer over rpc.Server, which schedules, settles and drains.
//
// What HTTP has and one message doesn't: a response is sent whole when the handler returns, so Flush sends nothing early,
// connections can't be hijacked, there are no trailers, no 1xx responses and no remote address.
package worker
