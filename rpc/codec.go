package rpc

import "context"

// Handle registers a typed function: the body is decoded by the request's content type (JSON unless it is protobuf),
// the result is encoded in the same.
func Handle[Req, Resp any](s *Server, function string, f func(ctx context.Context, req Req) (Resp, error)) {
	panic("under construction")
}

// Call makes a typed call: req is encoded as JSON, or as protobuf when it is a proto.Message, and the reply decoded into a Resp.
func Call[Resp any](ctx context.Context, c *Client, stream, function string, req any) (Resp, error) {
	panic("under construction")
}
