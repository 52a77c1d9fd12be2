package middleware

import (
	"context"

	"github.com/streamerson/streamerson/rpc"
)

// RequireIdentity refuses with CodeUnauthenticated what has no authenticated caller: no rpc.HeaderIdentity, which a gateway
// sets after it checked a credential, strips when it comes from outside, and which calls inside handlers inherit. It trusts
// everyone who may publish to the stream: the broker's own access control keeps others out.
func RequireIdentity() rpc.Middleware {
	return func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
			if req.Header.Get(rpc.HeaderIdentity) == "" {
				return nil, &rpc.Error{Code: rpc.CodeUnauthenticated, Message: "this function needs an authenticated caller", Origin: rpc.OriginRuntime}
			}
			return next(ctx, req)
		}
	}
}
