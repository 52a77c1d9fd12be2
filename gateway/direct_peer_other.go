//go:build !unix

package gateway

import "net"

// canServeDirect is false where a connection can't be looked at without reading: net/http serves all of them.
func canServeDirect(net.Conn) bool { return false }

func peerGone(net.Conn) bool { return false }
