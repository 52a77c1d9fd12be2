// Package middleware has what services often put around their handlers: logging, a cap on time, a cap on concurrency, and a
// demand for an authenticated caller. Each is an rpc.Middleware for rpc.ServerConfig.Middleware, or with rpc.Chain for one
// function. Panics need none: the core turns them into errors.
package middleware
