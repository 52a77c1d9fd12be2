// Package gateway is the HTTP side: it turns each request into a message on a stream, waits for the reply and answers with
// it. A Gateway is an http.Handler that may be mounted anywhere; a Server adds the listener, TLS, HTTP/2, timeouts and a
// shutdown that loses no request. docs/gateway.md lists every status and header.
package gateway
