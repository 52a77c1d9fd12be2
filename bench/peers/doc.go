// Package peers knows the rivals that the benchmark runs beside rpc: other systems' request and reply, each client and each
// worker a process of its own, set up as its own documentation recommends. README.md in this folder says how, and on whose
// advice; their programs are in go, node and python, and nginx is Debian's. scripts/install-peers.sh provisions them all.
//
// The package names and finds them; bench makes legs of them and measures. Nothing here is safe for use by several
// goroutines at once, and nothing is kept between calls.
package peers
