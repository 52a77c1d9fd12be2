package history

import (
	"context"
	"errors"

	"github.com/streamerson/streamerson/rpc"
)

// Client makes a client with cfg record how its calls and one-way messages end, and the replies that it drops. Its driver
// has to be one of the same recorder's. A nil Recorder does nothing.
func (r *Recorder) Client(cfg *rpc.ClientConfig) {
	if r == nil {
		return
	}
	cfg.Middleware = append(cfg.Middleware[:len(cfg.Middleware):len(cfg.Middleware)], r.calls)
	cfg.Observer = r.observer(cfg.Observer)
	r.add(Event{Kind: Joined})
}

// Server makes a server with cfg record its handlers' runs, and the calls that expire. Its driver has to be one of the same
// recorder's. A nil Recorder does nothing.
func (r *Recorder) Server(cfg *rpc.ServerConfig) {
	if r == nil {
		return
	}
	group := cfg.Group
	if group == "" {
		group = rpc.DefaultGroup
	}
	runs := func(h rpc.Handler) rpc.Handler { return r.runs(group, h) }
	cfg.Middleware = append(cfg.Middleware[:len(cfg.Middleware):len(cfg.Middleware)], runs)
	cfg.Observer = r.observer(cfg.Observer)
	r.add(Event{Kind: Serving, Group: group})
}

// calls is the middleware of a client, the innermost.
func (r *Recorder) calls(next rpc.Handler) rpc.Handler {
	return func(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
		if req.ID.IsZero() {
			named := *req
			named.ID = rpc.NewID()
			req = &named
		}
		resp, err := next(ctx, req)
		e := Event{Kind: Answered, What: whatRequest, ID: req.ID.String(), Stream: req.Stream}
		if req.OneWay {
			e.Kind, e.What = Acknowledged, whatSend
		}
		if err != nil {
			e.Code = rpc.CodeOf(err).String()
			if x, ok := errors.AsType[*rpc.Error](err); !ok || x.Origin == rpc.OriginLocal {
				e.Kind = GivenUp
				if ok {
					e.Outcome = x.Published.String()
				}
			}
		}
		r.add(e)
		return resp, err
	}
}

// panicked is the code of a handler that didn't return.
const panicked = "panic"

// runs is the middleware of a server, the innermost.
func (r *Recorder) runs(group string, next rpc.Handler) rpc.Handler {
	return func(ctx context.Context, req *rpc.Request) (resp *rpc.Response, err error) {
		e := Event{Kind: Began, What: whatRequest, ID: req.ID.String(), Stream: req.Stream, Group: group, Attempt: req.Attempt}
		if req.OneWay {
			e.What = whatSend
		}
		r.add(e)
		e.Kind, e.Code = Ended, panicked
		defer func() { r.add(e) }()
		resp, err = next(ctx, req)
		if e.Code = ""; err != nil {
			e.Code = rpc.CodeOf(err).String()
		}
		return resp, err
	}
}

type observer struct {
	rpc.Observer
	r *Recorder
}

func (r *Recorder) observer(o rpc.Observer) rpc.Observer {
	if o == nil {
		o = rpc.NopObserver{}
	}
	return observer{o, r}
}

func (o observer) ReplyDropped(why rpc.ReplyDrop) {
	o.r.add(Event{Kind: Dropped, Code: string(why)})
	o.Observer.ReplyDropped(why)
}

func (o observer) Expired(stream string, why rpc.ExpireReason) {
	o.r.add(Event{Kind: Expired, Stream: stream, Code: string(why)})
	o.Observer.Expired(stream, why)
}
