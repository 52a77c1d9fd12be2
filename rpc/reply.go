package rpc

import (
	"context"
	"errors"
	"math"
	"runtime"
	"strconv"
	"time"

	"github.com/streamerson/streamerson/rpc/wire"
	"github.com/streamerson/streamerson/transport"
)

const (
	// laneBatch is the most replies read at once.
	laneBatch = 1024
	// lanePause is the wait after a failed read of the lane; the driver has its own back-off for reconnecting.
	lanePause = 100 * time.Millisecond
	// headerRetryAfter carries Error.RetryAfter in an error reply, in milliseconds.
	headerRetryAfter = HeaderPrefix + "retry-after-ms"
)

// readReplies hands each reply to the call that waits for it.
func (c *Client) readReplies(ctx context.Context) {
	for ctx.Err() == nil {
		read, cancel := ctx, context.CancelFunc(func() {})
		broken := c.laneErr.Load() != nil
		if broken { // come back soon to see whether it is mended: an empty lane says nothing
			read, cancel = context.WithTimeout(ctx, 2*lanePause)
		}
		// Those who were just answered go first: their next calls travel together, and so do the replies. But a yield wakes a
		// thread, and a lone caller has nobody to travel with.
		if c.calls.count.Load() > 1 {
			runtime.Gosched()
		}
		bodies, err := c.lane.Receive(read, laneBatch)
		cancel()
		switch {
		case err == nil:
			c.laneErr.Store(nil)
		case ctx.Err() != nil:
			return
		case errors.Is(err, context.DeadlineExceeded) && broken:
			if c.reachable(ctx) {
				c.laneErr.Store(nil)
			}
		default:
			e, ok := errors.AsType[*transport.Error](err)
			if !ok {
				e = &transport.Error{Code: transport.CodeInternal, Op: "receive", Err: err}
			}
			if !broken {
				c.cfg.Logger.Warn("the reply lane can't be read; trying on", "error", err)
			}
			c.laneErr.Store(e)
			sleep(ctx, lanePause)
		}
		for _, b := range bodies {
			if kind, _, ok := wire.Peek(b); !ok || kind != wire.KindReplies {
				c.deliver(b)
			} else if wire.Unpack(b, c.deliver) != nil {
				c.cfg.Observer.ReplyDropped(DropBad)
			}
		}
	}
}

// reachable asks the broker anything at all.
func (c *Client) reachable(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, presenceAsk)
	defer cancel()
	_, err := c.d.Lag(ctx, "streamerson.ready", c.cfg.Group)
	return err == nil || transport.IsCode(err, transport.CodeNotFound) || transport.IsCode(err, transport.CodeUnsupported)
}

func (c *Client) deliver(b []byte) {
	kind, id, ok := wire.Peek(b)
	if !ok || kind != wire.KindReply {
		c.cfg.Observer.ReplyDropped(DropBad)
		return
	}
	p := c.calls.take(id, DropDuplicate)
	if p == nil {
		c.cfg.Observer.ReplyDropped(c.calls.lost(id))
		return
	}
	p.reply = b
	p.ready <- struct{}{} // never blocks: only the one who took the call sends, once
}

// finish turns what was delivered into the call's result; decoding happens here so that callers share the work.
func (c *Client) finish(p *call, start time.Time) (*Response, *Error) {
	if p.err != nil {
		if p.packing != nil && p.err.Code == CodeDeadlineExceeded {
			p.packing.took(time.Since(start))
		}
		return nil, p.err
	}
	var env wire.Envelope
	if err := c.fields.Decode(&env, p.reply); err != nil {
		c.cfg.Observer.ReplyDropped(DropBad)
		return nil, &Error{Code: CodeInternal, Message: "the reply can't be decoded", Published: transport.OutcomeAccepted, Err: err}
	}
	if p.packing != nil {
		p.packing.took(time.Duration(env.HandlerMicros) * time.Microsecond)
	}
	if env.Code != CodeOK {
		e := &Error{Code: env.Code, Message: env.Message, Origin: OriginHandler, Published: transport.OutcomeAccepted, Header: env.Headers}
		if env.Inferred {
			e.Origin = OriginRuntime
		}
		if ms, err := strconv.ParseInt(env.Headers.Get(headerRetryAfter), 10, 32); err == nil && ms > 0 {
			e.RetryAfter = time.Duration(ms) * time.Millisecond
		}
		return nil, e
	}
	return &Response{
		Status: int(env.Status), Header: env.Headers, ContentType: env.ContentType, Body: env.Body,
		Timing: Timing{
			// A reply may be here before the publish's own answer; then the publish took no time that anyone waited for.
			Publish: max(time.Duration(p.publish.Load()>>2)-start.Sub(c.calls.base), 0),
			Queue:   time.Duration(env.QueueMicros) * time.Microsecond, Handler: time.Duration(env.HandlerMicros) * time.Microsecond,
		},
	}, nil
}

func budgetMillis(d time.Duration) uint32 {
	return uint32(min(max((d-1)/time.Millisecond+1, 1), math.MaxUint32)) // rounded up, without going beyond the largest Duration
}

func saturatedMicros(d time.Duration) uint32 {
	return uint32(min(max(d.Microseconds(), 0), math.MaxUint32))
}
