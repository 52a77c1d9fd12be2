package middleware

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/streamerson/streamerson/rpc"
)

// Log writes one line for each request when it ends: stream, function, id, code, the times in the handler and in the queue,
// the attempt if it is not the first, and the request id that people know. A success and an error that is the caller's own
// (not found, bad argument …) have the given level; an error that the operator should see has slog.LevelError. Bodies and
// headers are never logged. Around a client it logs its calls.
func Log(l *slog.Logger, level slog.Level) rpc.Middleware {
	return func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
			start := time.Now()
			ended := false
			defer func() {
				if !ended { // a panic on its way to the core, which answers CodeInternal
					line(ctx, l, slog.LevelError, req, rpc.CodeInternal, time.Since(start), slog.Bool("panic", true))
				}
			}()
			resp, err := next(ctx, req)
			ended = true
			code := codeOf(err)
			lv := level
			var more []slog.Attr
			if err != nil {
				more = append(more, slog.Any("error", err))
				if operators(code) {
					lv = slog.LevelError
				}
			}
			if resp != nil && resp.Status != 0 {
				more = append(more, slog.Int("status", resp.Status))
			}
			line(ctx, l, lv, req, code, time.Since(start), more...)
			return resp, err
		}
	}
}

func line(ctx context.Context, l *slog.Logger, level slog.Level, req *rpc.Request, code rpc.Code, took time.Duration, more ...slog.Attr) {
	if !l.Enabled(ctx, level) {
		return
	}
	attrs := append(make([]slog.Attr, 0, 12),
		slog.String("stream", req.Stream), slog.String("function", req.Function), slog.String("code", code.String()), slog.Duration("took", took))
	if !req.ID.IsZero() {
		attrs = append(attrs, slog.String("id", req.ID.String()))
	}
	if req.Queued > 0 {
		attrs = append(attrs, slog.Duration("queued", req.Queued))
	}
	if req.Attempt > 1 {
		attrs = append(attrs, slog.Int("attempt", req.Attempt))
	}
	if id := req.Header.Get(rpc.HeaderRequestID); id != "" {
		attrs = append(attrs, slog.String("request_id", id))
	}
	l.LogAttrs(ctx, level, "request", append(attrs, more...)...)
}

// codeOf is the code that the core answers for a handler's error: CodeInternal for one that is not an *rpc.Error.
func codeOf(err error) rpc.Code {
	code := rpc.CodeOf(err)
	if _, ok := errors.AsType[*rpc.Error](err); !ok && code == rpc.CodeUnknown {
		return rpc.CodeInternal
	}
	return code
}

// operators reports whether an error of this code is something to look after, rather than the caller's mistake or departure.
func operators(c rpc.Code) bool {
	switch c {
	case rpc.CodeUnknown, rpc.CodeInternal, rpc.CodeDataLoss, rpc.CodeUnavailable, rpc.CodeDeadlineExceeded:
		return true
	}
	return false
}
