// Package rpc is request and reply over any transport: a Client that publishes a request and waits for the reply by its
// id, a Server that takes requests as its slots allow, runs a handler and settles them with the reply. Deadlines, identity
// and trace travel with each request; lost workers, late and double replies, retries and dead letters are dealt with here,
// once, above every driver.
package rpc
