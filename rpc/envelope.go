package rpc

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
)

// envelope turns a caller's request into its envelope, with what it inherits from the handler that it is made in.
func (c *Client) envelope(ctx context.Context, env *wire.Envelope, req *Request, kind wire.Kind) error {
	if err := transport.CheckName(req.Stream); err != nil {
		return invalid("Request.Stream: ", err)
	}
	// The stream is not repeated: a request's entry says where it is.
	*env = wire.Envelope{
		Kind: kind, Attempt: 1, ID: req.ID, Function: req.Function, ContentType: req.ContentType,
		Trace: req.Trace, TraceState: req.TraceState, IdempotencyKey: req.IdempotencyKey, Headers: req.Header, Body: req.Body,
	}
	if env.ID.IsZero() {
		env.ID = NewID()
	}
	if kind == wire.KindRequest {
		env.ReplyTo, env.Packs = c.lane.Address(), true
	} else if req.Timeout > 0 {
		// A one-way message outlives its sender's patience; it expires only when that was asked for.
		env.Deadline, env.Budget = time.Now().Add(req.Timeout).UnixMilli(), budgetMillis(req.Timeout)
	}
	if h := requestOf(ctx); h != nil {
		h.bequeath(env)
	}
	if err := wire.CheckLimits(env); err != nil {
		return invalid("", err)
	}
	if limit := c.maxFrame; wire.Size(env) > limit {
		return &Error{
			Code: CodeInvalidArgument, Published: transport.OutcomeRejected, Err: &transport.Error{Code: transport.CodeTooLarge, Op: "publish", Stream: req.Stream},
			Message: "the request is larger than the transport takes; at most " + strconv.Itoa(limit) + " bytes with its headers",
		}
	}
	return nil
}

func invalid(what string, err error) *Error {
	return &Error{Code: CodeInvalidArgument, Message: what + err.Error(), Published: transport.OutcomeRejected}
}

// bequeath gives a nested call what belongs to the whole request: trace, caller's identity and request id.
func (h *handling) bequeath(env *wire.Envelope) {
	if env.Trace == "" {
		env.Trace, env.TraceState = h.req.Trace, h.req.TraceState
	}
	for _, f := range h.req.Header {
		if (strings.EqualFold(f.Name, HeaderIdentity) || strings.EqualFold(f.Name, HeaderRequestID)) && env.Headers.Get(f.Name) == "" {
			env.Headers = append(env.Headers[:len(env.Headers):len(env.Headers)], f)
		}
	}
}
